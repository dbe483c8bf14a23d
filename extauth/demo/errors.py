"""Why the demo can't start or go on, in words for the person in front of the terminal."""

from __future__ import annotations

from extauth.errors import ExtauthError


class DemoError(ExtauthError):
    """The demo can't start or go on. Its text says what to do about it."""
