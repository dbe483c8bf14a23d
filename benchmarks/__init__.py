"""The benchmark of `make bench`. It starts extauth as operators do and knows nothing of its insides."""
