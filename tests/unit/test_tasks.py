"""Tasks in the background end when they are told to."""

from __future__ import annotations

import asyncio
import contextlib

from extauth.tasks import end


def test_a_task_that_loses_a_cancellation_ends_all_the_same() -> None:
    """It is cancelled again."""

    async def forgetful() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(3_600)
        await asyncio.sleep(3_600)

    async def scenario() -> None:
        task = asyncio.create_task(forgetful())
        await asyncio.sleep(0)
        await end(task)
        assert task.cancelled()

    asyncio.run(scenario())


def test_what_a_task_raised_is_passed_over() -> None:
    """Whoever ends it has no use for it."""

    async def failing() -> None:
        raise OSError("gone")

    async def scenario() -> None:
        task = asyncio.create_task(failing())
        await asyncio.sleep(0)
        await end(task)
        assert isinstance(task.exception(), OSError)

    asyncio.run(scenario())
