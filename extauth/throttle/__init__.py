"""How many requests of a client are in flight, and who waits for a place among them."""
