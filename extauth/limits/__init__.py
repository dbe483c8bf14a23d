"""Limits: pure algorithms, and which of them a request takes."""
