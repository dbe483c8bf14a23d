"""Keys on the move: to a file and back, in from other systems, and from one store to another."""
