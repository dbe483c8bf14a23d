"""One Redis server: the connection to it, and the breaker that stops asking while it doesn't answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from ssl import SSLContext

from extauth.errors import StoreError
from extauth.stores.redis.faults import told
from extauth.stores.redis.limits.line import Answered, Program, ScriptLine, Words, dial, heard
from extauth.stores.redis.limits.wire import RedisError
from extauth.tasks import end

# How long a connection that was late may take to answer after all, before it is given up for a new one.
_PATIENCE_SECONDS = 0.2
# How long a new connection may take, greeting included, and how long until the next is tried.
_DIALLED_WITHIN_SECONDS = 0.3
_AGAIN_AFTER_SECONDS = 0.1
# How long the first connection may take: a machine on which everything starts at once is slow.
_OPENED_WITHIN_SECONDS = 5.0
# How long an error that Redis answered is shown; if it is still there, the next check has it shown again.
_SHOWN_FOR_SECONDS = 0.5
# Errors of a server that is not, or no longer, the one to ask.
_WRONG_SERVER = frozenset(("READONLY", "LOADING", "MASTERDOWN", "NOAUTH"))
# Answers of a server that is well, but not the one for this slot.
_REDIRECTIONS = frozenset(("MOVED", "ASK", "TRYAGAIN"))

Address = tuple[str, int]


class GoneError(StoreError):
    """The server is none of those to ask any more, and needn't be dialled again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialling:
    """How connections are made. `locate` finds the server each time anew: it may have become another one.

    `programs` are those that a server is told at once: one that it has to ask for would come after what was
    sent behind it.
    """

    where: str
    locate: Callable[[], Awaitable[Address]]
    greeting: Callable[[], Sequence[Sequence[str]]]
    programs: Sequence[Program]
    tls: SSLContext | None
    deadline_seconds: float


class Node:
    """Asks one server, if it answers.

    `on_change` hears what is wrong with it, and with an empty text that nothing is any more: trouble, for
    which it is not asked, or an error that it answered. `trouble` is why it isn't asked at the moment, empty
    if it is.
    """

    def __init__(self, dialling: Dialling, on_change: Callable[[str], None] = lambda _trouble: None) -> None:
        self._dialling = dialling
        self._on_change = on_change
        self._line: ScriptLine | None = None
        self.trouble = self._told = "not connected yet"
        self._complaint = ""
        self._complained: asyncio.TimerHandle | None = None
        self._dialled_at = 0.0
        self._dialler: asyncio.Task[None] | None = None
        self._patience: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def told(self) -> str:
        """What `on_change` heard last: what is wrong with the server, empty if nothing is."""
        return self._told

    async def open(self) -> None:
        """Connect for the first time. Raises StoreError."""
        await self._dial(_OPENED_WITHIN_SECONDS)

    def run(
        self,
        program: Program,
        questions: Sequence[Words],
        answered: Answered,
        *,
        asking: bool = False,
    ) -> None:
        """Run a script. Raises StoreError at once while the server doesn't answer.

        `asking` is for a slot that is on its way to this server (Redis cluster specification, "ASK
        Redirection").
        """
        line = self._asked()

        def look(result: bytes | StoreError) -> None:
            if isinstance(result, RedisError) and result.kind not in _REDIRECTIONS:
                self._complain(str(result))
                if result.kind in _WRONG_SERVER:
                    self._give_up()
            answered(result)

        if asking:
            line.ask(lambda _reply: None, "ASKING")
        line.run(program, questions, look)

    async def ask(self, *words: str) -> bytes:
        """Send a command. Raises StoreError."""
        line = self._asked()
        return await heard(lambda answered: line.ask(answered, *words))

    def _asked(self) -> ScriptLine:
        if self._line is None or self.trouble:
            raise StoreError(f"{self._dialling.where}: {self.trouble}")
        return self._line

    def check(self) -> None:
        """See to it that a server that can't be asked is dialled."""
        if self._line is None and not self._closed and (self._dialler is None or self._dialler.done()):
            self._dialler = asyncio.create_task(self._redial())

    async def close(self) -> None:
        """Let go of the connection."""
        self._closed = True
        for timer in (self._patience, self._complained):
            if timer is not None:
                timer.cancel()
        if self._dialler is not None:
            await end(self._dialler)
        if self._line is not None:
            self._line.abort()

    async def _dial(self, seconds: float = _DIALLED_WITHIN_SECONDS) -> None:
        line: ScriptLine

        def lost(why: str) -> None:
            if self._line is line:
                self._lost(why)

        dialling = self._dialling
        line = ScriptLine(
            dialling.where,
            deadline_seconds=dialling.deadline_seconds,
            on_late=self._late,
            on_reply=self._heard,
            on_lost=lost,
        )
        try:
            async with asyncio.timeout(seconds):
                host, port = await dialling.locate()
                await dial(line, host, port, tls=dialling.tls, greeting=dialling.greeting())
            line.teach(dialling.programs)
        except GoneError:
            raise
        except (TimeoutError, OSError, StoreError) as error:
            line.abort()
            self._set_trouble(str(error) if isinstance(error, StoreError) else told(error))
            raise StoreError(f"{dialling.where}: {self.trouble}") from error
        self._line = line
        self._set_trouble("")

    async def _redial(self) -> None:
        loop = asyncio.get_running_loop()
        while not self._closed:
            # At once, unless it was dialled just now: there are servers that connect, and then refuse.
            await asyncio.sleep(self._dialled_at + _AGAIN_AFTER_SECONDS - loop.time())
            self._dialled_at = loop.time()
            try:
                await self._dial()
            except GoneError:
                return
            except StoreError:
                continue
            return

    def _late(self) -> None:
        """Open the breaker: nobody else waits for this server in vain. A late answer closes it again."""
        if self.trouble or self._line is None:
            return
        self._set_trouble(f"no answer within {self._dialling.deadline_seconds * 1000:.0f} ms")
        self._patience = asyncio.get_running_loop().call_later(_PATIENCE_SECONDS, self._give_up)

    def _heard(self) -> None:
        if self._patience is not None:
            self._end_patience()
            self._set_trouble("")

    def _give_up(self) -> None:
        self._end_patience()
        if self._line is not None:
            self._line.abort()

    def _end_patience(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _lost(self, why: str) -> None:
        self._line = None
        self._end_patience()
        if not self._closed:
            # If it was given up, the reason for that is the better one.
            self._set_trouble(self.trouble or self._complaint or why)
            self.check()

    def _complain(self, error: str) -> None:
        """Show an error that Redis answered, for a while."""
        if self._complained is not None:
            self._complained.cancel()
        self._complained = asyncio.get_running_loop().call_later(_SHOWN_FOR_SECONDS, self._end_complaint)
        self._complaint = error
        self._tell()

    def _end_complaint(self) -> None:
        self._complained = None
        self._complaint = ""
        self._tell()

    def _set_trouble(self, trouble: str) -> None:
        self.trouble = trouble
        self._tell()

    def _tell(self) -> None:
        what = self.trouble or self._complaint
        if what != self._told:
            self._told = what
            self._on_change(what)
