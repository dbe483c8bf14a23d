"""Lets the maker of changes die at any of its trips to Redis: before it, in the middle of it, or after it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Literal

from extauth.stores.redis.link import Sync
from extauth.stores.redis.scripts import Command
from extauth.stores.redis.store import RedisKeyStore

When = Literal["before", "within", "after"]


class DiedError(BaseException):
    """What a process that was killed would do next never happens: nothing catches this."""


class Dying:
    """Counts trips, and dies at one of them. None of its later trips happens either."""

    def __init__(self, store: RedisKeyStore, *, at: int, when: When) -> None:
        self.trips = 0
        self._at = at
        self._when = when
        self._link = store._link
        self._read, self._write = self._link.read, self._link.write
        self._link.read = self.read  # type: ignore[method-assign]  # this store is this test's
        self._link.write = self.write  # type: ignore[method-assign]  # as above

    async def read(self, *commands: Command) -> list[Any]:
        """Read, or die."""
        return await self._trip(commands, self._read)

    async def write(self, *commands: Command, sync: Sync = Sync.NEVER) -> list[Any]:
        """Write, or die."""
        return await self._trip(commands, lambda *some: self._write(*some, sync=sync))

    async def _trip(
        self, commands: tuple[Command, ...], go: Callable[..., Awaitable[list[Any]]]
    ) -> list[Any]:
        self.trips += 1
        if self.trips < self._at:
            return await go(*commands)
        if self.trips == self._at and self._when != "before":
            # Within: of what was sent in one go, a part arrived.
            some = commands[: len(commands) // 2] if self._when == "within" else commands
            if some:
                await go(*some)
        raise DiedError
