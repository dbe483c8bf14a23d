"""How tasks in the background are ended."""

from __future__ import annotations

import asyncio
from typing import Any

# How long a cancelled task may take before it is cancelled again.
_AGAIN_AFTER_SECONDS = 0.1


async def end(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks, and wait until they have ended; what they raised is passed over.

    Again and again: a cancellation that comes just as a time limit inside of the task is over may be lost, in
    libraries too, and the task would go on for ever.
    """
    while waiting := [task for task in tasks if not task.done()]:
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting, timeout=_AGAIN_AFTER_SECONDS)
    await asyncio.gather(*tasks, return_exceptions=True)
