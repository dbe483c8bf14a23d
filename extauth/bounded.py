"""Caches that can't grow beyond their size, and that cost one dictionary look-up on a hit.

Both hold two generations. New entries and those asked for again stand in the young one, which is the
dictionary itself, so that a hit runs no Python code; when it is full it becomes the old one, and the former
old one is forgotten. That keeps what is used like an LRU list does, without relinking a list on every hit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class BoundedCache(dict[K, V]):
    """The `size` entries that were used last are sure to be here, at most twice as many are.

    Ask with `get`, and where that gives None with `revive`; store with `keep` only. None can't be kept.
    `on_drop` hears that some were forgotten for want of room.
    """

    __slots__ = ("_old", "_on_drop", "_size")

    def __init__(self, size: int, *, on_drop: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self._on_drop = on_drop
        # Of one generation: whoever asks for `size` things in turn must find each of them each time.
        self._size = size
        self._old: dict[K, V] = {}

    def keep(self, key: K, value: V) -> None:
        """Store an entry, forgetting the least recently used ones where there is no room."""
        if len(self) >= self._size and key not in self:
            dropped, self._old = self._old, dict(self)
            self.clear()
            if dropped:
                self._on_drop()
        self[key] = value

    def keep_all(self, others: BoundedCache[K, V]) -> None:
        """Store all entries of another one; they count as used last."""
        for generation in (others._old, others):
            for key, value in generation.items():
                self._old.pop(key, None)
                self.keep(key, value)

    def revive(self, key: K) -> V | None:
        """Return the entry from the old generation, and count it as used; None where there is none."""
        value = self._old.pop(key, None)
        if value is not None:
            self.keep(key, value)
        return value

    def forget(self, key: K) -> V | None:
        """Drop one entry, and return it if it was here."""
        young, old = self.pop(key, None), self._old.pop(key, None)
        return old if young is None else young

    def forget_all(self) -> None:
        """Drop everything."""
        self.clear()
        self._old = {}

    def everything(self) -> Iterator[tuple[K, V]]:
        """Return all entries that are in memory, without counting them as used."""
        yield from self.items()
        yield from self._old.items()

    @property
    def held(self) -> int:
        """How many entries are in memory, both generations together."""
        return len(self) + len(self._old)


class Memo(BoundedCache[K, V]):
    """Remembers what `make` returned: `memo[key]` calls it for keys that were not asked for lately.

    What is not `worth_keeping` is made anew each time: keys so long that a full memo of them would be large.
    """

    __slots__ = ("_make", "_worth_keeping")

    def __init__(
        self, make: Callable[[K], V], size: int, *, worth_keeping: Callable[[K], bool] = lambda _key: True
    ) -> None:
        super().__init__(size)
        self._make = make
        self._worth_keeping = worth_keeping

    def __missing__(self, key: K) -> V:
        value = self._old.pop(key, None)
        if value is None:
            value = self._make(key)
            if not self._worth_keeping(key):
                return value
        self.keep(key, value)
        return value
