"""The servers of a Redis Cluster: which of them has a slot, and asking it, wherever the slot goes."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from itertools import count

from extauth.errors import StoreError
from extauth.stores.redis.limits.line import Answered, Program, Words
from extauth.stores.redis.limits.node import Address, Dialling, GoneError, Node
from extauth.stores.redis.limits.wire import RedisError
from extauth.stores.redis.link import RedisLink


class ClusterServers:
    """Asks the servers that have slots. `on_change` hears what is wrong with the first that doesn't work."""

    def __init__(
        self,
        link: RedisLink,
        dialling: Callable[[Callable[[], Awaitable[Address]]], Dialling],
        on_change: Callable[[str], None],
    ) -> None:
        self._link = link
        self._dialling = dialling
        self._on_change = on_change
        self._nodes: dict[Address, Node] = {}
        # So that not all processes begin with the same server.
        self._first = secrets.randbelow(1_000)

    async def open(self) -> None:
        """Connect to all servers that have slots. Raises StoreError."""
        await self._link.greet()
        for address in self._link.primaries():
            self._nodes[address] = self._new_node(address)
        await asyncio.gather(*(node.open() for node in self._nodes.values()))

    async def close(self) -> None:
        """Let go of all connections."""
        await asyncio.gather(*(node.close() for node in self._nodes.values()))
        await self._link.close()

    def any_of_them(self) -> Dialling:
        """Return how connections are made to one of the servers, each time to another one."""
        attempts = count()

        async def there() -> Address:
            # One that hangs or is gone must not be tried for ever: the others do as well.
            known = sorted(self._link.primaries())
            if not known:
                raise StoreError("no server of the cluster is known")
            return known[(self._first + next(attempts)) % len(known)]

        return self._dialling(there)

    def run(self, slot: int, program: Program, asked: Sequence[Words], answered: Answered) -> None:
        """Run a script for keys of a slot."""

        def look(reply: bytes | StoreError) -> None:
            if isinstance(reply, RedisError) and reply.kind in {"MOVED", "ASK"}:
                # The slot has another server: it did not run. It is told where it would.
                self._link.look_around()
                self._run_at(_told_address(reply), program, asked, answered, asking=reply.kind == "ASK")
            else:
                answered(reply)

        try:
            address = self._link.address_of(slot)
        except StoreError as error:
            self._link.look_around()
            answered(error)
            return
        self._run_at(address, program, asked, look)

    def _run_at(
        self,
        address: Address,
        program: Program,
        asked: Sequence[Words],
        answered: Answered,
        *,
        asking: bool = False,
    ) -> None:
        try:
            self._node(address).run(program, asked, answered, asking=asking)
        except StoreError as error:
            answered(error)

    def _node(self, address: Address) -> Node:
        """Return what asks the server at this address; it is dialled if nobody asked it before."""
        node = self._nodes.get(address)
        if node is None:
            node = self._nodes[address] = self._new_node(address)
            node.check()
        return node

    def _new_node(self, address: Address) -> Node:
        async def still_there() -> Address:
            if address not in self._link.primaries():
                self._nodes.pop(address, None)
                self._tell()
                raise GoneError(f"{address[0]}:{address[1]} has no slots any more")
            self._link.look_around()
            return address

        return Node(self._dialling(still_there), self._changed)

    def _changed(self, trouble: str) -> None:
        if trouble:
            self._link.look_around()
        self._tell()

    def _tell(self) -> None:
        """Say what is wrong with the first server that has slots and doesn't work."""
        known = self._link.primaries()
        wrong = (
            f"{host}:{port}: {node.told}"
            for (host, port), node in self._nodes.items()
            if node.told and (host, port) in known
        )
        self._on_change(next(wrong, ""))


def _told_address(error: RedisError) -> Address:
    """Read `MOVED 3999 127.0.0.1:6381` (Redis cluster specification, "MOVED Redirection")."""
    host, _, port = error.rest.partition(" ")[2].rpartition(":")
    return host, int(port)
