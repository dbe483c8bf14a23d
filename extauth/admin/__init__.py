"""The admin listener: health, metrics and the API for managing keys."""
