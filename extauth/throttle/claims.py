"""Checks that want slots: each has a name, that of its lease, and somebody who waits for its answer."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from itertools import count


class Claim:
    """One check that wants slots. `leave` is for whoever learns that nobody waits for its answer any more."""

    __slots__ = ("gone", "name", "on_gone", "request_id")

    def __init__(self, name: str, request_id: str) -> None:
        self.name = name
        self.request_id = request_id
        self.gone = False
        # Who has to hear of it while the claim waits for a slot.
        self.on_gone: Callable[[], None] | None = None

    def leave(self) -> None:
        """Give up: nobody is there to be answered."""
        self.gone = True
        if self.on_gone is not None:
            self.on_gone()


class Claims:
    """Makes claims, with names that no other process makes. `process` begins all of them."""

    def __init__(self) -> None:
        self.process = secrets.token_hex(6)
        self._numbers = count()

    def new(self, request_id: str) -> Claim:
        """Return the claim of a check."""
        return Claim(f"{self.process}-{next(self._numbers):x}", request_id)
