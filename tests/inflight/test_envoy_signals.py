"""Signals that only Envoy has: of streams of HTTP/2, and of requests that still run."""

from __future__ import annotations

import pytest

from extauth.completion.signals import Signal
from tests.integration.client import Connection, request
from tests.integration.conftest import Proxy
from tests.integration.processes import wait_until

from .conftest import PATIENCE, Stage
from .http2 import Http2
from .looking import checks_of, end_of, ends_of, key
from .proxies import PROGRESS_EVERY
from .stand_in import LATE, LATE_SECONDS, NO_LEASE
from .upstream import WORD


@pytest.fixture
def envoy(stage: Stage) -> Proxy:
    """The one proxy."""
    return Proxy("envoy", stage.ports.ingress("envoy"))


def test_a_stream_that_is_cancelled_ends_alone(stage: Stage, envoy: Proxy) -> None:
    """Two requests on one connection of HTTP/2: the one that is cancelled is reported, the other goes on."""
    with Http2(envoy.port) as connection:
        cancelled = connection.ask("/slow?ms=900", key())
        checks_of(stage, 1)
        other = connection.ask("/slow?ms=500", key())
        first, second = checks_of(stage, 2)
        wait_until(lambda: stage.upstream.left() == 2, within=PATIENCE, what="the upstream working")
        connection.cancel(cancelled)
        wait_until(lambda: bool(stage.intake.ends()), within=0.3, what="the signal")
        assert stage.intake.ends() == [end_of(first)]
        assert connection.read_to_the_end(other) == WORD
    assert ends_of(stage, envoy) == [end_of(first), end_of(second)]


def test_a_stream_that_is_cancelled_during_its_check_is_reported(stage: Stage, envoy: Proxy) -> None:
    """By its request id, though the connection stays."""
    with Http2(envoy.port) as connection:
        cancelled = connection.ask("/quick", key(LATE))
        (check,) = checks_of(stage)
        connection.cancel(cancelled)
        wait_until(lambda: bool(stage.intake.ends()), within=LATE_SECONDS / 2, what="the signal")
        assert stage.intake.ends() == [Signal(check.request_id, "", progress=False)]
        assert connection.read_to_the_end(connection.ask("/quick", key())) == WORD


def test_a_connection_that_is_closed_ends_all_its_streams(stage: Stage, envoy: Proxy) -> None:
    """Each with a signal of its own."""
    with Http2(envoy.port) as connection:
        for _ in range(5):
            connection.ask("/slow?ms=900", key())
        checks = [*checks_of(stage, 5)]
        wait_until(lambda: stage.upstream.left() == 5, within=PATIENCE, what="the upstream working")
    wait_until(lambda: len(stage.intake.ends()) == 5, within=0.3, what="the signals")
    assert sorted(stage.intake.ends()) == sorted(map(end_of, checks))


def test_a_request_that_still_runs_says_so(stage: Stage, envoy: Proxy) -> None:
    """So that a lease needs not be as long as the longest download; then it ends as all do."""
    request(envoy.port, "/slow?ms=700", headers=key())
    (check,) = checks_of(stage)
    assert ends_of(stage, envoy) == [end_of(check)]
    progress = [signal for signal, _ in stage.intake.arrivals if signal.progress]
    assert set(progress) == {Signal(check.request_id, check.lease, progress=True)}
    assert 2 <= len(progress) <= 0.7 / PROGRESS_EVERY + 1
    assert stage.intake.arrivals[len(progress)].signal == end_of(check)


def test_a_request_without_a_lease_says_nothing_while_it_runs(stage: Stage, envoy: Proxy) -> None:
    """Nobody waits for it."""
    request(envoy.port, "/slow?ms=700", headers=key(NO_LEASE))
    assert ends_of(stage, envoy) == []
    assert not any(signal.progress for signal, _ in stage.intake.arrivals)


def test_requests_that_envoy_refuses_itself_cost_no_signal(stage: Stage, envoy: Proxy) -> None:
    """Before the check there is nothing that could have taken a lease."""
    assert request(envoy.port, "/a%2fb", headers=key()).status == 400
    assert request(envoy.port, "/quick", headers=[*key(), ("X_Y", "z")]).status == 400
    with Connection(envoy.port) as connection:
        connection.send_body(b"GET / HTTP/1.0\r\n\r\n")
        assert connection.receive().status == 426
    assert ends_of(stage, envoy) == []
    assert len(stage.authority.checks) == 2
