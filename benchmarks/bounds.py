"""How much a benchmark may be asked for: nobody's machine is to be loaded without an end."""

from __future__ import annotations

import argparse
from collections.abc import Callable

LONGEST_SECONDS = 60
MOST_ROUNDS = 50
MOST_KEYS = 100_000


def whole_up_to(most: int) -> Callable[[str], int]:
    """Return what reads an option that is a whole number from 1 to this."""

    def whole(text: str) -> int:
        if not text.isdecimal() or not 1 <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to {most}")
        return int(text)

    return whole
