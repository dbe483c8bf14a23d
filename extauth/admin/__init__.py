"""The admin listener: health, metrics, and later the API and the pages for people."""
