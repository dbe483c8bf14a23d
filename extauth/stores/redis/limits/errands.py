"""Small things to do about leases in Redis: gathered for each turn of the loop, tried again if they fail."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Generic, NamedTuple, Protocol, TypeVar

from extauth.errors import StoreError
from extauth.stores.redis import layout
from extauth.stores.redis.limits.line import Answered
from extauth.stores.redis.limits.wire import bulk

# How many errands one call of a script holds.
_MOST_AT_ONCE = 128
# When those that Redis didn't do are tried again: soon, as it may only have been late, then after ever longer
# rests. And how many wait for that at most.
_AGAIN_AFTER_SECONDS = 0.05
_LONGEST_REST_SECONDS = 0.5
_MOST_KEPT = 100_000

OnSaid = Callable[[str], None]


class _Keyed(Protocol):
    @property
    def key(self) -> str:
        """One of its keys, which are all in one slot."""
        ...


What = TypeVar("What", bound=_Keyed)
Run = Callable[[int, Sequence[What], Answered], None]
# What each errand of a call is told, by the reply.
Words = Callable[[bytes], Iterable[str]]


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


def lines(reply: bytes) -> tuple[list[str], int]:
    """Return what `leases.lua` says to each errand, and how many leases had ended by themselves."""
    *said, expired = reply.decode().split("\n")
    return said, int(expired)


class Due(NamedTuple, Generic[What]):
    """An errand; `on_said` gets what Redis says, nothing where it couldn't be done `until` then."""

    what: What
    on_said: OnSaid
    until: float


class Errands(Generic[What]):
    """Has Redis do errands; `slot` tells where a key is, `run` runs those of one slot.

    `words` reads what the reply says to each of them.
    """

    def __init__(self, run: Run[What], slot: Callable[[str], int], words: Words) -> None:
        self._run = run
        self._slot = slot
        self._words = words
        self._due: list[Due[What]] = []
        self._undone: list[Due[What]] = []
        self._rest = _AGAIN_AFTER_SECONDS
        self._calls = 0  # under way
        self._settled: asyncio.Future[None] | None = None

    @property
    def is_idle(self) -> bool:
        """Whether nothing is to be done, or tried again."""
        return not (self._undone or self.is_asking)

    @property
    def is_asking(self) -> bool:
        """Whether an answer is still to come, to what is asked or to what is about to be."""
        return bool(self._due) or self._calls > 0

    async def settle(self) -> None:
        """Wait until all that was sent is answered; what Redis doesn't do is not waited for."""
        self._do_due()
        while self.is_asking:
            self._settled = asyncio.get_running_loop().create_future()
            await self._settled

    def send(self, what: What, on_said: OnSaid = ignore, *, for_seconds: float = 0.0) -> None:
        """Do it in the next turn; see `Due`. It is tried for so many seconds."""
        loop = asyncio.get_running_loop()
        if not self._due:
            loop.call_soon(self._do_due)
        self._due.append(Due(what, on_said, loop.time() + for_seconds))

    def _do_due(self) -> None:
        due, self._due = self._due, []
        self.do(due)

    def do(self, errands: Iterable[Due[What]]) -> None:
        """Do many at once, without waiting for more."""
        for slot, of_slot in self._by_slot(errands).items():
            for start in range(0, len(of_slot), _MOST_AT_ONCE):
                batch = of_slot[start : start + _MOST_AT_ONCE]
                self._calls += 1
                self._call(slot, batch, partial(self._answered, slot, batch))

    def _by_slot(self, errands: Iterable[Due[What]]) -> Mapping[int, list[Due[What]]]:
        by_slot: defaultdict[int, list[Due[What]]] = defaultdict(list)
        for due in errands:
            by_slot[self._slot(due.what.key)].append(due)
        return by_slot

    def _call(self, slot: int, batch: Sequence[Due[What]], answered: Answered) -> None:
        self._run(slot, [due.what for due in batch], answered)

    def _answered(self, slot: int, batch: Sequence[Due[What]], reply: bytes | StoreError) -> None:
        try:
            self._hand_out(batch, reply)
        finally:
            self._go_on(slot)
            if self._settled is not None and not self.is_asking and not self._settled.done():
                self._settled.set_result(None)

    def _go_on(self, _slot: int) -> None:
        self._calls -= 1

    def _hand_out(self, batch: Sequence[Due[What]], reply: bytes | StoreError) -> None:
        if not isinstance(reply, StoreError):
            self._rest = _AGAIN_AFTER_SECONDS
            for due, said in zip(batch, self._words(reply), strict=True):
                due.on_said(said)
            return
        loop = asyncio.get_running_loop()
        for due in batch:
            if due.until <= loop.time() or len(self._undone) >= _MOST_KEPT:
                due.on_said("")
                continue
            if not self._undone:
                loop.call_later(self._rest, self._do_again)
                self._rest = min(2 * self._rest, _LONGEST_REST_SECONDS)
            self._undone.append(due)

    def _do_again(self) -> None:
        undone, self._undone = self._undone, []
        self.do(undone)


class ErrandsInTurn(Errands[What]):
    """Has one call under way at a time for each slot; what comes meanwhile goes together in the next one.

    So the more there is to do, the less each costs, and nothing waits longer than for one answer.
    """

    def __init__(self, run: Run[What], slot: Callable[[str], int], words: Words) -> None:
        super().__init__(run, slot, words)
        self._queues: dict[int, deque[Due[What]]] = {}  # of the slots that are asked
        self._queued = 0

    @property
    def is_asking(self) -> bool:
        """See `Errands`."""
        return bool(self._due or self._queues)

    def do(self, errands: Iterable[Due[What]]) -> None:
        """Do many, as soon as what was asked before is answered; but of those that wait only so many."""
        for slot, of_slot in self._by_slot(errands).items():
            queue = self._queues.get(slot)
            if queue is None:
                self._queues[slot] = deque(of_slot)
                self._queued += len(of_slot)
                self._ask(slot)
                continue
            room = max(_MOST_KEPT - self._queued, 0)
            queue.extend(of_slot[:room])
            self._queued += len(of_slot[:room])
            for due in of_slot[room:]:
                due.on_said("")

    def _ask(self, slot: int) -> None:
        queue = self._queues[slot]
        batch = [queue.popleft() for _ in range(min(len(queue), _MOST_AT_ONCE))]
        self._queued -= len(batch)
        self._call(slot, batch, partial(self._answered, slot, batch))

    def _go_on(self, slot: int) -> None:
        if self._queues[slot]:
            asyncio.get_running_loop().call_soon(self._ask, slot)
        else:
            del self._queues[slot]
