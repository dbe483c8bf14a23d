"""How long one check waits for the store, over all that it has to ask."""

from __future__ import annotations

import asyncio
from typing import TypeVar

from extauth.errors import StoreError

_Answer = TypeVar("_Answer")


class Patience:
    """So many seconds, used up by waiting. What a check does between two waits doesn't count.

    What is waited for goes on when patience is at its end: others may wait for it too.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._left = seconds

    async def wait_for(self, answer: asyncio.Future[_Answer]) -> _Answer:
        """Return the answer. Raises StoreError where it doesn't come in time, and what the answer raises."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            # In two steps: after a standstill of the loop itself the answer may be there and not be seen yet.
            for _ in range(2):
                if not answer.done():
                    await asyncio.wait({answer}, timeout=self._left / 2)
        finally:
            self._left = max(0.0, self._left - (loop.time() - began))
        if not answer.done():
            raise StoreError(f"the store did not answer within {self._seconds * 1000:.0f} ms")
        return answer.result()
