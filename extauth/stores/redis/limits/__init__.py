"""Limits in Redis: many checks in one script call, on a connection of their own, within a short deadline."""
