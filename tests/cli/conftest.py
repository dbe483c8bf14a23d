"""What tests of the command line beside other programs share."""

from __future__ import annotations

from tests.shell import shell

__all__ = ["shell"]
