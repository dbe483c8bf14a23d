"""The place of one worker: a process stands in it, and another one as soon as that has ended."""

from __future__ import annotations

import asyncio
import enum
import signal
import socket
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from extauth.server.board import Board
from extauth.server.completion import CompletionSockets
from extauth.server.link import Link
from extauth.server.reports import Totals
from extauth.settings.model import Settings

# A worker that lived this long, in seconds, is replaced at once; one that keeps ending earlier waits longer
# and longer.
STEADY_SECONDS = 10.0
FIRST_DELAY_SECONDS = 0.1
LONGEST_DELAY_SECONDS = 5.0
# A worker that hasn't reported for so long, in seconds, hangs.
SILENT_AFTER_SECONDS = 3.0
# How long a worker may go on living after it let go of its link, in seconds.
_GONE_WITHIN_SECONDS = 2.0


class State(enum.StrEnum):
    """What a place holds."""

    STARTING = "starting"
    SERVING = "serving"
    ENDED = "ended"


@dataclass(slots=True)
class Shared:
    """What all workers of a server have in common; `settings` are those in force.

    A listener that is held by somebody else outlives this server.
    """

    settings: Settings
    listener: socket.socket
    is_held: bool
    board: Board
    completion: CompletionSockets
    completion_board: Board
    totals: Totals
    stopping: asyncio.Event


def delay_after(quick_ends: int) -> float:
    """Return how long to wait before the next start, after so many workers that hardly lived."""
    if quick_ends <= 1:
        return 0.0
    return float(min(FIRST_DELAY_SECONDS * 2 ** min(quick_ends - 2, 16), LONGEST_DELAY_SECONDS))


class Slot:
    """Keeps one worker running. `on_change` is called when its state has changed."""

    def __init__(self, number: int, shared: Shared, on_change: Callable[[], None]) -> None:
        self.number = number
        self.state = State.STARTING
        self.restarts = 0
        # What the first worker that couldn't start said, and None while there was none.
        self.first_failure: list[str] | None = None
        self._shared = shared
        self._on_change = on_change
        self._log = structlog.get_logger("extauth.workers")
        self._loop = asyncio.get_running_loop()
        self._process: Process | None = None
        self._link: Link | None = None
        self._heard = 0.0
        self._problems: dict[str, str] = {}
        self._failed: list[str] = []
        self._asked = 0
        self._answers: dict[int, asyncio.Future[None]] = {}

    @property
    def condition(self) -> str:
        """Return what is wrong with the worker; nothing where it answers checks."""
        if self.state is not State.SERVING:
            return str(self.state)
        silent = self._loop.time() - self._heard
        if silent > SILENT_AFTER_SECONDS:
            return f"silent for {silent:.0f} s"
        return "; ".join(f"{part}: {problem}" for part, problem in self._problems.items() if problem)

    async def keep(self, settled: asyncio.Event) -> None:
        """Start one worker after the other until the server stops.

        A second one is started only once it is settled that workers can start at all: otherwise that is told
        instead.
        """
        quick_ends = 0
        while not self._shared.stopping.is_set():
            began = self._loop.time()
            how = await self._live()
            if self._shared.stopping.is_set():
                return
            quick_ends = 1 if self._loop.time() - began >= STEADY_SECONDS else quick_ends + 1
            delay = delay_after(quick_ends)
            self._log.error("worker_ended", worker=self.number, **how, next_in_seconds=delay)
            self.first_failure = self.first_failure or self._failed or [_sentence(how)]
            self._on_change()
            await settled.wait()
            await self._wait(delay)
            self.restarts += 1

    async def _wait(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._shared.stopping.wait(), seconds)
        except TimeoutError:
            return

    def stop(self) -> None:
        """Let the worker finish what was asked, and end."""
        if self._link is not None:
            self._link.end()

    def hasten(self) -> None:
        """Have the worker end without waiting for anybody."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        """End the worker whatever it does."""
        if self._process is not None and self._process.returncode is None:
            self._log.error("worker_killed", worker=self.number, pid=self._process.pid)
            self._process.kill()

    def go_by(self) -> None:
        """Have the worker go by the settings in force; one that is started later begins with them."""
        if self._link is not None:
            self._link.send(settings=True)
            self._link.give_settings(self._shared.settings)

    async def refresh(self) -> None:
        """Have the worker report, and wait for that."""
        if self._link is None or self.state is not State.SERVING:
            return
        self._asked += 1
        answer = self._answers[self._asked] = self._loop.create_future()
        self._link.send(report=self._asked)
        try:
            await answer
        finally:
            self._answers = {asked: other for asked, other in self._answers.items() if other is not answer}

    async def _live(self) -> dict[str, Any]:
        """Run one worker from its start to its end; return how it ended."""
        self.state, self._failed, self._problems = State.STARTING, [], {}
        try:
            ours, process = await self._start()
        except OSError as error:
            self.state = State.ENDED
            return {"problem": f"no process: {error.strerror}"}
        self._process = process
        try:
            link = self._link = await Link.over(ours)
            link.give_settings(self._shared.settings)
            if self._shared.stopping.is_set():
                link.end()
            await self._listen(link)
            link.close()
            code = await self._end_of(process)
        finally:
            self._forget()
        how: dict[str, Any] = {"pid": process.pid}
        how |= {"exit_code": code} if code >= 0 else {"signal": signal.Signals(-code).name}
        return how | ({"problem": "; ".join(self._failed)} if self._failed else {})

    async def _start(self) -> tuple[socket.socket, Process]:
        shared = self._shared
        ours, theirs = socket.socketpair()
        with theirs:
            inherited = (
                theirs.fileno(),
                shared.listener.fileno(),
                shared.board.descriptor,
                *(each.fileno() for each in shared.completion),
                shared.completion_board.descriptor,
            )
            # `-m` looks for modules in the working directory too, where this process may not.
            safe = () if {"", str(Path.cwd())} & {*sys.path} else ("-P",)
            try:
                # In a session of its own, because a terminal's Ctrl-C is for the supervisor alone.
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    *safe,
                    "-m",
                    "extauth.server.worker",
                    *map(str, (self.number, int(shared.is_held), *inherited)),
                    stdin=DEVNULL,
                    pass_fds=inherited,
                    start_new_session=True,
                )
            except OSError:
                ours.close()
                raise
        return ours, process

    async def _listen(self, link: Link) -> None:
        async for message in link.messages():
            self._heard = self._loop.time()
            if "failed" in message:
                self._failed = message["failed"]
                continue
            self._problems = message["problems"]
            self._shared.totals.take(self.number, message["families"])
            if answer := self._answers.pop(message["asked"], None):
                answer.set_result(None)
            if self.state is State.STARTING:
                self.state = State.SERVING
                self._on_change()

    async def _end_of(self, process: Process) -> int:
        """Return the exit code of a worker that says no more, which ends by itself or is made to."""
        try:
            return await asyncio.wait_for(process.wait(), _GONE_WITHIN_SECONDS)
        except TimeoutError:
            self.kill()
            return await process.wait()

    def _forget(self) -> None:
        """Nobody stands here any more: nobody leaves connections to it, and no question gets an answer."""
        self.state = State.ENDED
        self._link = None
        self._shared.board.note(self.number)
        self._shared.completion_board.note(self.number)
        self._shared.totals.end(self.number)
        for answer in self._answers.values():
            if not answer.done():
                answer.set_result(None)
        self._answers = {}


def _sentence(how: dict[str, Any]) -> str:
    ending = how.get("problem") or how.get("signal") or f"exit code {how.get('exit_code')}"
    return f"no worker can start: the first one ended with {ending}"
