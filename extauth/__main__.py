"""Lets `python -m extauth` do what `extauth` does."""

from extauth.cli.main import main

main()
