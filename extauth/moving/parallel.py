"""A few at once: work on many items that waits for a store or for argon2, without flooding either."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

Item = TypeVar("Item")


async def each(items: Iterable[Item], work: Callable[[Item], Awaitable[None]], *, at_once: int) -> None:
    """Do the work for each item, `at_once` of them at the same time.

    After a fault no other item is begun; it is raised once those under way are done.
    """
    waiting = (item for item in items)

    async def worker() -> None:
        for item in waiting:
            await work(item)

    workers = [asyncio.create_task(worker()) for _ in range(at_once)]
    try:
        await asyncio.gather(*workers)
    finally:
        waiting.close()
        await asyncio.gather(*workers, return_exceptions=True)
