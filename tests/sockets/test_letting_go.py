"""Nothing that has reached the kernel is lost when a listener and its connections are closed."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from typing import cast

import pytest
import uvloop

from extauth.clock import SystemClock
from extauth.server.accepting import Acceptor
from extauth.server.board import Board
from extauth.server.connections import ConnectionLimits, Connections
from extauth.server.draining import Drain, Patience, Stop
from extauth.server.protocol import CheckProtocol
from extauth.server.responder import Responder
from extauth.stores.memory import MemoryLimitStore
from extauth.throttle.embedded import EmbeddedLeases
from tests.waiting import eventually

from .client import Client
from .in_process import Echo
from .wire import read_answers, request

MANY = 50
NOBODY_WAITS = EmbeddedLeases(MemoryLimitStore(), SystemClock())
Scenario = Callable[[Acceptor, Connections, tuple[str, int]], Coroutine[None, None, None]]


def on_a_real_listener(scenario: Scenario) -> None:
    """Run a scenario in whose loop nothing happens while it doesn't wait: what comes lies in the kernel."""

    async def run() -> None:
        connections = Connections(ConnectionLimits(), now=0.0)
        connections.sweep(0.0, 1_800_000_000.0)
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            address = listener.getsockname()
            acceptor = Acceptor(
                listener,
                worker=0,
                board=Board.make(1),
                connections=connections,
                connect=lambda: CheckProtocol(responder=cast("Responder", Echo()), connections=connections),
            )
            acceptor.start(MANY * 2)
            await scenario(acceptor, connections, address)

    uvloop.run(run())


def test_connections_that_wait_are_taken_before_the_listener_closes() -> None:
    """And answered, for the kernel would reset them with it."""

    async def scenario(acceptor: Acceptor, connections: Connections, address: tuple[str, int]) -> None:
        with ExitStack() as stack:
            clients = [stack.enter_context(Client(address)) for _ in range(MANY)]
            for client in clients:
                client.send(request())
            acceptor.close()
            await acceptor.settle()
            assert len(connections) == MANY
            connections.drain()
            assert await connections.are_gone(10.0, idle_go=True)
            assert [answer.status for client in clients for answer in client.receive_until_end()] == [
                200
            ] * MANY

    on_a_real_listener(scenario)


def test_a_check_that_has_come_is_answered_before_its_connection_closes() -> None:
    """Also one that nobody has read yet when idle connections are let go."""

    async def scenario(acceptor: Acceptor, connections: Connections, address: tuple[str, int]) -> None:
        with Client(address) as used, Client(address) as idle:
            acceptor.close()
            await acceptor.settle()
            connections.drain()
            used.send(request())
            assert not await connections.are_gone(0.0, idle_go=True)
            assert await connections.are_gone(10.0, idle_go=True)
            assert [answer.ends_connection for answer in used.receive_until_end()] == [True]
            assert read_answers(idle.socket.recv(1)) == []

    on_a_real_listener(scenario)


def test_what_is_left_is_cut() -> None:
    """Whoever never finishes a head, when the time is over."""

    async def scenario(acceptor: Acceptor, connections: Connections, address: tuple[str, int]) -> None:
        with Client(address) as half:
            half.send(request()[:-5])
            acceptor.close()
            await acceptor.settle()
            connections.drain()
            assert not await connections.are_gone(0.2, idle_go=True)
            connections.cut()
            assert await connections.are_gone(10.0, idle_go=True)

    on_a_real_listener(scenario)


def test_connections_that_are_in_use_are_not_let_go() -> None:
    """Idle ones are kept as long as others come to their end: a proxy may turn to any of them next."""

    async def scenario(acceptor: Acceptor, connections: Connections, address: tuple[str, int]) -> None:
        with Client(address) as used, Client(address):
            acceptor.close()
            await acceptor.settle()
            connections.drain()
            loop = asyncio.get_running_loop()
            loop.call_later(0.2, used.send, request())
            assert 0.5 <= await connections.rest(0.3, within=60.0) < 60.0
            assert len(connections) == 1
            assert await connections.rest(60.0, within=0.1) < 60.0
            connections.cut()
            assert await connections.rest(60.0, within=60.0) < 60.0

    on_a_real_listener(scenario)


@pytest.mark.parametrize("whose", ["somebody else's", "its own"])
def test_a_listener_that_somebody_holds_answers_until_the_last_moment(whose: str) -> None:
    """Whoever comes while kept connections end is answered, once; else the listener is closed by then."""

    async def scenario(acceptor: Acceptor, connections: Connections, address: tuple[str, int]) -> None:
        with Client(address) as kept:
            await eventually(lambda: len(connections) == 1)
            held = whose != "its own"
            patience = Patience(delay=0.0, linger=60.0, timeout=60.0)
            draining = asyncio.create_task(
                Drain(acceptor, connections, NOBODY_WAITS, patience, held=held).run(Stop())
            )
            await eventually(lambda: connections.draining)
            if held:
                with Client(address) as late:
                    late.send(request())
                    await eventually(lambda: connections.accepted == 2 and len(connections) == 1)
                    assert [answer.ends_connection for answer in late.receive_until_end()] == [True]
            else:
                with pytest.raises(ConnectionRefusedError):
                    socket.create_connection(address)
            kept.close()
            await draining

    on_a_real_listener(scenario)


def test_a_check_on_a_connection_that_was_just_taken_is_answered() -> None:
    """It came while kept connections ended, on a listener that somebody holds; the check comes later."""

    async def scenario(acceptor: Acceptor, connections: Connections, address: tuple[str, int]) -> None:
        with Client(address) as kept:
            await eventually(lambda: len(connections) == 1)
            patience = Patience(delay=0.0, linger=60.0, timeout=60.0)
            draining = asyncio.create_task(
                Drain(acceptor, connections, NOBODY_WAITS, patience, held=True).run(Stop())
            )
            await eventually(lambda: connections.draining)
            with Client(address) as late:
                kept.close()
                await eventually(lambda: connections.accepted == 2 and acceptor._listener.fileno() < 0)
                late.send(request())
                await draining
                assert [answer.status for answer in late.receive_until_end()] == [200]

    on_a_real_listener(scenario)


def test_whoever_waits_no_longer_lets_connections_arrive() -> None:
    """A second signal ends the wait for those that were taken: they are answered all the same."""

    async def scenario(acceptor: Acceptor, connections: Connections, address: tuple[str, int]) -> None:
        with Client(address) as client:
            acceptor.close()
            hurried = asyncio.create_task(acceptor.settle())
            asyncio.get_running_loop().call_soon(hurried.cancel)
            await asyncio.wait({hurried})
            await acceptor.settle()
            connections.drain()
            client.send(request())
            await connections.are_gone(10.0)
            assert [answer.status for answer in client.receive_until_end()] == [200]

    on_a_real_listener(scenario)


def test_work_is_broken_off_where_the_process_is_to_stop() -> None:
    """A start may wait for the end of another server; what is done by then, or fails, is as ever."""

    async def run() -> None:
        async def give() -> str:
            return "opened"

        stop, begun, ended = Stop(), asyncio.Event(), asyncio.Event()

        async def hang() -> str:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()
            return "never"

        assert await stop.unless_asked(give()) == "opened"
        hanging = asyncio.create_task(stop.unless_asked(hang()))
        await begun.wait()
        stop.ask()
        assert await hanging is None
        assert ended.is_set()

    asyncio.run(run())
