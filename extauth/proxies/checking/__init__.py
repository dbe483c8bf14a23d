"""Looks through a configuration that somebody wrote, and names what is unsafe or missing in it."""
