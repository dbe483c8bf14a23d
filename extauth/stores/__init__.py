"""Stores: where key records and limiter state are kept."""
