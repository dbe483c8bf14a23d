from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.processes import wait_until

from .client import PATIENCE, Client, many
from .conftest import running
from .in_process import Listener
from .service import Service, allow_descriptors
from .wire import request

_IDLE = 5_000
_IDLE_SECONDS = 6
# The process of the tests holds as many as the server, and some of its own.
_DESCRIPTORS = _IDLE + 1_000
_BYTES_EACH = 20_000


@pytest.fixture
def patient(folder: Path) -> Iterator[Service]:
    """A server that may hold thousands of connections, and that closes idle ones after a few seconds."""
    if not allow_descriptors(_DESCRIPTORS):
        pytest.skip(f"this system allows less than {_DESCRIPTORS} open files")
    with running(Service(folder, listen=f"idle_timeout: {_IDLE_SECONDS}s")) as service:
        yield service


def test_five_thousand_idle_connections_stop_nobody(patient: Service) -> None:
    """Others are served meanwhile, each costs little memory, and all are closed after the idle time-out."""
    patient.assert_healthy()
    before = patient.resident_bytes
    with many(patient.address, _IDLE) as clients:
        # Half of them have asked something before they fell silent, as a proxy's pool does.
        for client in clients[: _IDLE // 2]:
            client.send(request("/envoy/open/a"))
        for client in clients[: _IDLE // 2]:
            assert client.receive().status == 200
        patient.assert_healthy()
        assert patient.metric("extauth_open_connections") >= _IDLE
        assert patient.resident_bytes - before < _IDLE * _BYTES_EACH
        for client in clients:
            client.socket.settimeout(_IDLE_SECONDS + PATIENCE)
            client.assert_ended()
    patient.wait_until_unused()
    patient.assert_healthy()


def test_more_connections_than_allowed_are_refused(folder: Path) -> None:
    """503 with a problem that names the setting, and a closed connection; room made is room for the next."""
    with (
        running(Service(folder, listen="max_connections: 10")) as service,
        many(service.address, 10) as clients,
    ):
        assert {client.ask(request("/envoy/open/a")).status for client in clients} == {200}
        with Client(service.address) as refused:
            (answer,) = refused.receive_until_end()
        assert answer.status == 503
        assert answer.ends_connection
        assert "listen.max_connections" in answer.problem()["detail"]
        # Those that have a place keep it.
        assert {client.ask(request("/envoy/open/a")).status for client in clients} == {200}
        clients[0].close()
        wait_until(
            lambda: service.metric("extauth_open_connections") < 10,
            within=PATIENCE,
            what="a place is free again",
        )
        service.assert_healthy()


def test_a_refused_connection_is_not_kept(folder: Path) -> None:
    """Who stays after the 503 would hold open more than is allowed, and is cut off within seconds."""
    with (
        running(Service(folder, listen="max_connections: 1")) as service,
        Client(service.address) as first,
        Client(service.address) as refused,
    ):
        assert first.ask(request("/envoy/open/a")).status == 200
        assert [answer.status for answer in refused.receive_until_end()] == [503]
        refused.wait_until_gone()


def test_refused_connections_are_forgotten() -> None:
    """However many come, and however long they would stay, the listener holds what it may hold."""
    with Listener(connections=2) as listener:
        kept = [listener.connect() for _ in range(2)]
        refused = [listener.connect() for _ in range(50)]
        assert [connection.statuses() for connection in refused] == [[503]] * 50
        listener.pass_time(5)
        assert [connection.transport.lost for connection in kept] == [False] * 2
        assert [connection.transport.lost for connection in refused] == [True] * 50
        assert len(listener.connections) == 2


def test_what_a_refused_connection_sends_is_not_read() -> None:
    """Its first request often comes together with it, and gets no second answer."""
    with Listener(connections=1) as listener:
        listener.connect()
        refused = listener.connect()
        refused.send(request(), request())
        assert refused.statuses() == [503]
