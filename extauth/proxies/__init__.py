"""Configurations of the proxies that ask extauth: made for the settings in force, and looked through."""
