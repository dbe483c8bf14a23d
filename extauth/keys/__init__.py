"""Keys: their text, their secrets, who holds them, and everything that happens to them."""
