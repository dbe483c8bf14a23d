"""The limit store of the embedded mode: buckets in this process.

It is also the reference for every other limit store. One event loop uses it, so a step needs no lock.
`write_behind.py` keeps its buckets across restarts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from extauth.limits.algorithm import BucketState, Step
from extauth.limits.plan import Take
from extauth.limits.registry import ALGORITHMS, DEFAULT_ALGORITHM
from extauth.model import Usage

# How many buckets one sweep looks at: bounded, so that a sweep of a million buckets never holds up a check.
SWEPT_AT_ONCE = 2_000


class Unsaved(NamedTuple):
    """What has changed since it was last asked for.

    Buckets with their states, and buckets that are full again.
    """

    states: dict[str, BucketState]
    forgotten: set[str]


def _clear_at_us(state: BucketState) -> int:
    return state[3]


class MemoryLimitStore:
    """Buckets in a dictionary.

    An absent bucket has nothing spent, so those that are full again needn't be kept.
    """

    def __init__(self, *, step: Step = ALGORITHMS[DEFAULT_ALGORITHM]) -> None:
        self._step = step
        self._states: dict[str, BucketState] = {}
        self._unsaved: dict[str, BucketState] = {}
        self._forgotten: set[str] = set()
        self._to_sweep: list[str] = []

    def __len__(self) -> int:
        return len(self._states)

    def acquire(self, takes: Sequence[Take], cost: int, now_us: int) -> tuple[Usage, ...]:
        """Take `cost` from every bucket if all of them allow it, else from none. See `LimitStore`."""
        states, unsaved, step = self._states, self._unsaved, self._step
        taken = []
        usages = []
        refused = False
        for bucket, limit in takes:
            state, usage = step(states.get(bucket), limit, cost, now_us)
            taken.append((bucket, state))
            usages.append(usage)
            if not usage.allowed:
                refused = True
        if refused:
            for position, (bucket, limit) in enumerate(takes):
                if usages[position].allowed:
                    # Nothing is taken, so a limit that would have allowed it stands as it stood before.
                    usages[position] = step(states.get(bucket), limit, 0, now_us)[1]
            return tuple(usages)
        for bucket, state in taken:
            states[bucket] = unsaved[bucket] = state
        return tuple(usages)

    def restore(self, states: Iterable[tuple[str, BucketState]]) -> None:
        """Put back what an archive kept; buckets that are in use already stay as they are."""
        for bucket, state in states:
            self._states.setdefault(bucket, state)

    def sweep(self, now_us: int) -> None:
        """Forget some of the buckets that are full again.

        Called now and then, it gets round to all of them.
        """
        if not self._to_sweep:
            self._to_sweep = list(self._states)
        candidates = self._to_sweep[-SWEPT_AT_ONCE:]
        del self._to_sweep[-SWEPT_AT_ONCE:]
        for bucket in candidates:
            state = self._states.get(bucket)
            if state is not None and _clear_at_us(state) <= now_us:
                del self._states[bucket]
                self._unsaved.pop(bucket, None)
                self._forgotten.add(bucket)

    def take_unsaved(self) -> Unsaved:
        """Hand over what has changed since the last call; whoever takes it must write it or give it back."""
        unsaved = Unsaved(self._unsaved, self._forgotten)
        self._unsaved = {}
        self._forgotten = set()
        return unsaved

    def give_back(self, unsaved: Unsaved) -> None:
        """Count these as unsaved again, where nothing newer has come since."""
        for bucket, state in unsaved.states.items():
            if bucket in self._states:
                self._unsaved.setdefault(bucket, state)
        self._forgotten.update(bucket for bucket in unsaved.forgotten if bucket not in self._states)
