"""How tasks in the background are ended, and how work that blocks is done beside the loop."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Any, TypeVar

Result = TypeVar("Result")

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


async def in_thread(work: Callable[[], Result]) -> Result:
    """Do work that blocks in a thread of its own, which keeps no process from ending, however it hangs."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Result] = loop.create_future()

    def finish(give: Callable[[], None]) -> None:
        # Whoever waited may have gone, and the loop with it.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(lambda: None if done.done() else give())

    def run() -> None:
        try:
            result = work()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is raised where the work is awaited
            fault = error
            finish(lambda: done.set_exception(fault))
        else:
            finish(lambda: done.set_result(result))

    threading.Thread(target=run, name="work", daemon=True).start()
    return await done
