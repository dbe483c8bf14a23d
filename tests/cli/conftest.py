"""What tests of the command line share."""

from __future__ import annotations

from tests.shell import shell

__all__ = ["shell"]
