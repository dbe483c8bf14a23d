"""The one way to Redis: each trip has a deadline, each fault comes out as a StoreError without secrets."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import RedisCluster
from redis.exceptions import ConnectionError as LostConnectionError
from redis.exceptions import NoScriptError, RedisClusterException, RedisError, ResponseError
from redis.exceptions import TimeoutError as SocketTimeoutError

from extauth.errors import StoreError
from extauth.stores.redis.connect import CONNECTIONS, Connected
from extauth.stores.redis.faults import tls_hint, told
from extauth.stores.redis.scripts import Command, key_of, with_text
from extauth.tasks import end

# How long Redis may take to have its append-only file on the disk: it syncs it every second at the least.
_SYNCED_WITHIN_MS = 5_000
# How long the first connection may take; how often servers of a cluster are asked who is in it, and how long
# one of them may take to tell.
_GREETED_WITHIN_SECONDS = 5.0
_MEETINGS = 10
_SHORTEST_MEETING_SECONDS = 0.5
_UNKNOWN_OUTCOME = "; whether the change holds is unknown"


class RefusedError(StoreError):
    """Redis answered that it did not do it: what was asked for has not happened."""


class Sync(enum.Enum):
    """When a write waits until it is on the disk, where Redis can tell.

    The file of a single server holds writes in their order, so it is enough to wait for the last of a change.
    The servers of a cluster have a file each: there, each step is on the disk before the next one begins.
    """

    NEVER = "never"
    STEP = "step"
    LAST = "last"


class RedisLink:
    """Asks Redis. `waits_for_file` says whether Redis can tell that its append-only file is on the disk."""

    def __init__(self, connected: Connected, *, timeout_seconds: float) -> None:
        self.where = connected.where
        self.is_cluster = connected.is_cluster
        self.client = connected.client
        self.waits_for_file = False
        self._is_tls = connected.is_tls
        self._close = connected.close
        self._timeout = timeout_seconds
        self._room = asyncio.Semaphore(CONNECTIONS)
        self._looking_around: asyncio.Task[None] | None = None

    async def read(self, *commands: Command) -> list[Any]:
        """Ask in one trip for what changes nothing; once more where the connection turns out to be gone."""
        async with self._trip(self._timeout):
            try:
                return await self._exchange(commands)
            except LostConnectionError:
                return await self._exchange(commands)

    async def write(self, *commands: Command, sync: Sync = Sync.NEVER) -> list[Any]:
        """Change something, in one trip and never twice.

        On a single server in this order; in a cluster each server keeps the order of what concerns it. Raises
        RefusedError where nothing happened, StoreError where that is unknown.
        """
        wait = self.waits_for_file and sync is (Sync.STEP if self.is_cluster else Sync.LAST)
        patience = self._timeout + (_SYNCED_WITHIN_MS / 1000 if wait else 0)
        async with self._trip(patience, otherwise=_UNKNOWN_OUTCOME):
            return await self._exchange(commands, wait=wait)

    async def ask(self, node: Any, *command: str) -> Any:
        """Ask one server of a cluster, or with None the single one, about itself."""
        async with self._trip(self._timeout):
            target = {} if node is None else {"target_nodes": node}
            client: Any = self.client
            return await client.execute_command(*command, **target)

    async def greet(self) -> None:
        """Connect for the first time, with more patience than later. Raises StoreError."""
        try:
            async with self._trip(_GREETED_WITHIN_SECONDS):
                if isinstance(self.client, RedisCluster):
                    await self._meet_cluster(self.client, self.client.initialize)
                else:
                    await self.client.ping()
        except StoreError as error:
            cause = error.__cause__
            hint = "" if cause is None else tls_hint(cause, tls=self._is_tls)
            raise type(error)(f"{error}{hint}") from cause

    async def close(self) -> None:
        """Let go of all connections."""
        if self._looking_around is not None:
            await end(self._looking_around)
        with contextlib.suppress(RedisError, RedisClusterException, OSError):
            await self._close()

    @asynccontextmanager
    async def _trip(self, seconds: float, *, otherwise: str = "") -> AsyncIterator[None]:
        """Bound what is done inside, and turn its faults into ours."""
        try:
            async with asyncio.timeout(seconds):
                yield
        except ResponseError as error:
            raise RefusedError(f"{self.where}: {told(error)}") from error
        except (TimeoutError, SocketTimeoutError) as error:
            self.look_around()
            # The client has no more patience with a connection than with an answer later.
            patience = self._timeout if isinstance(error, SocketTimeoutError) else seconds
            raise StoreError(f"{self.where}: no answer within {patience * 1000:.0f} ms{otherwise}") from error
        except (RedisError, RedisClusterException, OSError, UnicodeDecodeError) as error:
            self.look_around()
            raise StoreError(f"{self.where}: {told(error)}{otherwise}") from error

    async def _exchange(self, commands: Sequence[Command], *, wait: bool = False) -> list[Any]:
        async with self._room:
            replies = await self._send(commands, wait=wait)
            unknown = [number for number, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
            if unknown:
                # Redis started anew, or never saw these scripts. They did not run; all else did.
                again = await self._send([with_text(commands[number]) for number in unknown], wait=wait)
                for number, reply in zip(unknown, again, strict=True):
                    replies[number] = reply
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        return replies

    async def _send(self, commands: Sequence[Command], *, wait: bool) -> list[Any]:
        if len(commands) == 1 and not wait:
            try:
                return [await self.client.execute_command(*commands[0])]
            except ResponseError as error:
                return [error]
        # The pipeline never raises errors itself, because it would put whole commands into their text.
        pipeline: Any = self.client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        nodes = await self._nodes_of(commands) if wait else []
        for node in nodes:
            # On the connection of the writes, behind them: it is these that it waits for.
            target = {} if node is None else {"target_nodes": node}
            pipeline.execute_command("WAITAOF", 1, 0, _SYNCED_WITHIN_MS, **target)
        replies: list[Any] = await pipeline.execute(raise_on_error=False)
        self._check_synced(replies[len(commands) :])
        if nodes and nodes != await self._nodes_of(commands):
            raise StoreError(f"{self.where}: a slot moved to another server{_UNKNOWN_OUTCOME}")
        return replies[: len(commands)]

    async def _nodes_of(self, commands: Sequence[Command]) -> list[Any]:
        if not isinstance(self.client, RedisCluster):
            return [None]
        await self.client.initialize()
        nodes = (self.client.get_node_from_key(key_of(command)) for command in commands)
        return list({node.name: node for node in nodes if node is not None}.values())

    def _check_synced(self, replies: Sequence[Any]) -> None:
        for reply in replies:
            if isinstance(reply, Exception):
                # Somebody turned the file off: there is nothing to wait for any more.
                self.waits_for_file = False
                raise StoreError(f"{self.where}: {reply}{_UNKNOWN_OUTCOME}") from reply
            if reply[0] < 1:
                raise StoreError(
                    f"{self.where}: the append-only file was not on the disk within {_SYNCED_WITHIN_MS} ms"
                    f"{_UNKNOWN_OUTCOME}"
                )

    def address_of(self, slot: int) -> tuple[str, int]:
        """Return the server of a cluster that has a slot, as far as is known. Raises StoreError."""
        assert isinstance(self.client, RedisCluster)  # nothing else has slots
        try:
            node = self.client.nodes_manager.get_node_from_slot(slot)
        except RedisClusterException as error:
            raise StoreError(f"{self.where}: no server is known to have slot {slot}") from error
        return node.host, int(node.port)

    def primaries(self) -> frozenset[tuple[str, int]]:
        """Return the servers of a cluster that have slots, as far as is known."""
        assert isinstance(self.client, RedisCluster)  # nothing else has several
        return frozenset((node.host, int(node.port)) for node in self.client.get_primaries())

    def look_around(self) -> None:
        """Ask a cluster in the background who is in it now: the server that failed may be out of it."""
        if isinstance(self.client, RedisCluster) and (
            self._looking_around is None or self._looking_around.done()
        ):
            self._looking_around = asyncio.create_task(self._learn_nodes(self.client))

    async def _learn_nodes(self, client: RedisCluster) -> None:
        # Whoever comes next is told if that fails, and looks around again.
        with contextlib.suppress(RedisError, RedisClusterException, OSError):
            await self._meet_cluster(client, client.nodes_manager.initialize)

    async def _meet_cluster(self, client: RedisCluster, ask: Callable[[], Awaitable[object]]) -> None:
        """Ask one server after the other who is in the cluster, until one answers in time."""
        for attempt in range(_MEETINGS, 0, -1):
            # The client goes through its list from the start, and would ask the one that hangs for ever.
            nodes = [*client.nodes_manager.startup_nodes.items()]
            random.shuffle(nodes)
            client.nodes_manager.startup_nodes = dict(nodes)
            try:
                async with asyncio.timeout(max(self._timeout, _SHORTEST_MEETING_SECONDS)):
                    await ask()
            except (TimeoutError, RedisError, RedisClusterException):
                if attempt == 1:
                    raise
            else:
                return
