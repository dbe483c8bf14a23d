"""Proxy dialects: they translate, they never decide."""
