"""`extauth demo`: real proxies, extauth and a sample API, started together to be looked at.

Only the command line imports this package.
"""
