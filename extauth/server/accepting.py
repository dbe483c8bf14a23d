"""How a worker takes connections from the listening socket that it shares with others.

Left to itself uvloop takes all that wait as soon as it wakes: of sixteen connections that a proxy opens at
once, one of four workers gets fifteen, and keeps them for as long as the proxy does. Here a worker takes one
at a time, and holds back for a moment while another one has fewer. Nobody waits for one that is busy or stuck
for longer than that moment. `docs/workers.md` says why there is no SO_REUSEPORT.

Who closes a listening socket has the kernel reset the connections that wait in it; so they are taken first.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from extauth.server.board import Board
from extauth.server.connections import Connections

# How long a worker holds back, in seconds, for each connection that it has more than another, and at most:
# on a machine that isn't busy, those with fewer have come by then.
HOLD_SECONDS = 0.001
LONGEST_HOLD_SECONDS = 0.005
# How long it takes nothing after it couldn't, for want of descriptors or memory, in seconds.
RETRY_SECONDS = 1.0
# Counts that differ by less than this part are even: bursts of thousands needn't be counted out one by one.
_EVEN_WITHIN = 8


class Acceptor:
    """Takes connections and gives each to a protocol that `connect` makes."""

    def __init__(
        self,
        listener: socket.socket,
        *,
        worker: int,
        board: Board,
        connections: Connections,
        connect: Callable[[], asyncio.Protocol],
    ) -> None:
        self._listener = listener
        self._worker = worker
        self._board = board
        self._connections = connections
        self._connect = connect
        self._loop = asyncio.get_running_loop()
        # Taken, and not counted among the connections yet.
        self._arriving: set[asyncio.Task[object]] = set()
        self._later: asyncio.TimerHandle | None = None
        self._backlog = 0  # how many may wait

    def start(self, backlog: int) -> None:
        """Begin. Listening again does no harm where another worker has begun before."""
        self._backlog = backlog
        self._listener.setblocking(False)
        self._listener.listen(backlog)
        self.note()
        self._loop.add_reader(self._listener, self._look)

    def close(self) -> None:
        """Take those that wait, and no more: nobody knows whether another process would. Once is enough."""
        if self._listener.fileno() < 0:
            return
        self._loop.remove_reader(self._listener)
        for _ in range(self._backlog):
            if not self._take():
                break
        if self._later is not None:
            self._later.cancel()
        self._listener.close()
        self._board.note(self._worker)

    async def settle(self) -> None:
        """Wait until all that were taken are connections."""
        if self._arriving:
            # Unlike `gather` this leaves them alone where whoever waits is in a hurry and waits no longer.
            await asyncio.wait(self._arriving)

    def note(self) -> int:
        """Tell the other workers how many connections this one has."""
        held = len(self._connections) + len(self._arriving)
        self._board.note(self._worker, held)
        return held

    def _look(self) -> None:
        """Somebody waits: take them, unless another worker has fewer connections and may come for them."""
        held, least = self.note(), self._board.least()
        if held > least + least // _EVEN_WITHIN:
            self._rest(min((held - least) * HOLD_SECONDS, LONGEST_HOLD_SECONDS))
        else:
            self._take()

    def _rest(self, seconds: float) -> None:
        self._loop.remove_reader(self._listener)
        self._later = self._loop.call_later(seconds, self._come_back)

    def _come_back(self) -> None:
        self._later = None
        self._loop.add_reader(self._listener, self._look)
        self._take()

    def _take(self) -> bool:
        """Take one; tell whether more may wait."""
        try:
            accepted, _ = self._listener.accept()
        except ConnectionAbortedError:
            return True  # that client left
        except (BlockingIOError, InterruptedError):
            return False  # another worker was quicker
        except OSError:
            # Those that wait go on waiting; asking for them again and again would use the processor up.
            self._rest(RETRY_SECONDS)
            return False
        accepted.setblocking(False)
        task: asyncio.Task[object] = self._loop.create_task(self._hand_over(accepted))
        self._arriving.add(task)
        task.add_done_callback(self._arriving.discard)
        self.note()
        return True

    async def _hand_over(self, accepted: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._connect, accepted)
        except OSError:
            accepted.close()  # the client left meanwhile
