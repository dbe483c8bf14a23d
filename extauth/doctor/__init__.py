"""Looks an installation over, and says what is to be mended: one file an examination."""
