"""Small things to do about leases in Redis: gathered for each turn of the loop, tried again if they fail."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from extauth.errors import StoreError
from extauth.stores.redis import layout
from extauth.stores.redis.limits.line import Answered
from extauth.stores.redis.limits.wire import bulk

# How many errands one call of the script holds.
_MOST_AT_ONCE = 128
# When those that Redis didn't do are tried again, and how many wait for that at most.
_AGAIN_AFTER_SECONDS = 0.5
_MOST_KEPT = 100_000

OnSaid = Callable[[str], None]
Run = Callable[[int, Sequence["Errand"], Answered], None]


class Errand(NamedTuple):
    """One thing to do about a lease: see `leases.lua`. All its keys are in one slot, that of `key`."""

    keys: bytes
    number_of_keys: int
    arguments: bytes
    number_of_arguments: int
    key: str


def errand(
    what: str,
    name: str,
    bases: Sequence[str] = (),
    *,
    lease: str = "",
    request_id: str = "",
    last_ms: int = 0,
) -> Errand:
    """Put an errand in words; with a `request_id` it is about the leases filed under it, too."""
    keys = [*bases, layout.leases_of(request_id)] if request_id else list(bases)
    words = (what, name, lease, str(last_ms), str(len(bases)))
    return Errand(
        keys=b"".join(bulk(key.encode()) for key in keys),
        number_of_keys=len(keys),
        arguments=b"".join(bulk(word.encode()) for word in words),
        number_of_arguments=len(words),
        key=keys[0],
    )


def ignore(_said: str) -> None:
    """Nobody needs to know."""


class _Due(NamedTuple):
    what: Errand
    on_said: OnSaid
    until: float


class Errands:
    """Has Redis do errands; `slot` tells where a key is, `run` runs those of one slot."""

    def __init__(self, run: Run, slot: Callable[[str], int]) -> None:
        self._run = run
        self._slot = slot
        self._due: defaultdict[int, list[_Due]] = defaultdict(list)
        self._undone: list[_Due] = []

    def send(self, what: Errand, on_said: OnSaid = ignore, *, for_seconds: float = 0.0) -> None:
        """Do it in the next turn; `on_said` gets what Redis says, nothing where it couldn't be done.

        It is tried for so many seconds.
        """
        loop = asyncio.get_running_loop()
        self._enqueue(_Due(what, on_said, loop.time() + for_seconds))

    def _enqueue(self, due: _Due) -> None:
        if not self._due:
            asyncio.get_running_loop().call_soon(self._run_all)
        self._due[self._slot(due.what.key)].append(due)

    def _run_all(self) -> None:
        errands, self._due = self._due, defaultdict(list)
        for slot, of_slot in errands.items():
            for start in range(0, len(of_slot), _MOST_AT_ONCE):
                batch = of_slot[start : start + _MOST_AT_ONCE]
                self._run(slot, [due.what for due in batch], partial(self._hand_out, batch))

    def _hand_out(self, batch: Sequence[_Due], reply: bytes | StoreError) -> None:
        if not isinstance(reply, StoreError):
            for due, line in zip(batch, reply.decode().split("\n"), strict=True):
                due.on_said(line)
            return
        loop = asyncio.get_running_loop()
        for due in batch:
            if due.until <= loop.time() or len(self._undone) >= _MOST_KEPT:
                due.on_said("")
                continue
            if not self._undone:
                loop.call_later(_AGAIN_AFTER_SECONDS, self._do_again)
            self._undone.append(due)

    def _do_again(self) -> None:
        undone, self._undone = self._undone, []
        for due in undone:
            self._enqueue(due)
