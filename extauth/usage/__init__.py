"""Who uses how much: counted off the hot path, kept in the store, asked for by operators."""
