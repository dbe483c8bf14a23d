"""What each process of the service has, whatever it does: log lines, work in the background, signals."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AbstractContextManager, AsyncExitStack, nullcontext
from pathlib import Path
from typing import Any

from extauth.errors import ConfigError
from extauth.settings.model import Settings
from extauth.tasks import end
from extauth.telemetry.lines import LineWriter
from extauth.telemetry.logs import configure_logging


def open_lines(
    stack: AsyncExitStack,
    settings: Settings,
    *,
    fields: Mapping[str, Any] | None = None,
    turn: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> LineWriter:
    """Open the log and send everything there. See `configure_logging` for fields, `LineWriter` for turn."""
    lines = LineWriter(_descriptor(settings.log.file), turn=turn)
    configure_logging(lines, level=settings.log.level, fields=fields)
    stack.push_async_callback(lines.close)
    spawn(stack, lines.run())
    return lines


def _descriptor(file: Path | None) -> int:
    if file is None:
        return sys.stdout.fileno()
    try:
        return os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
    except OSError as error:
        raise ConfigError([f"log.file: can't open {file}: {error.strerror}"]) from error


def stop_on_signal(stop: Callable[[], None]) -> None:
    """Have SIGTERM and SIGINT (Ctrl-C) call this."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)


def on_hangup(call: Callable[[], None]) -> None:
    """Have SIGHUP call this, instead of ending the process."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, call)


def spawn(stack: AsyncExitStack, work: Coroutine[Any, Any, None]) -> None:
    """Do some work in the background until the stack is left."""
    task = asyncio.create_task(work)

    stack.push_async_callback(end, task)
