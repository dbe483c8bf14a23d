"""What all proxies report of a request: once, when it has ended, however it did."""

from __future__ import annotations

import threading
import time

import pytest

from tests.integration import shipped
from tests.integration.client import Connection, Response, request
from tests.integration.conftest import Proxy
from tests.integration.lacks import Lack
from tests.integration.processes import wait_until

from .conftest import PATIENCE, Stage
from .looking import checks_of, end_of, ends_of, key, leave, unknown_end_of
from .stand_in import CLOSED, EMPTY_LEASE, LATE, LATE_SECONDS, NEVER, NO_LEASE
from .upstream import HANDSHAKE, PIECE


@pytest.mark.parametrize(
    "target", ["/quick", "/slow?ms=60", "/stream?ms=20&pieces=4", "/reset", "/reset?ms=60", "/hang"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_end_is_reported_once_with_its_lease(stage: Stage, proxy: Proxy, target: str, method: str) -> None:
    """Answered, streamed, reset by the upstream or given up by the proxy: one signal, right after the end."""
    request(proxy.port, target, method=method, headers=key(), body=b"x" * 3_000 if method == "POST" else b"")
    ended = time.monotonic()
    (check,) = checks_of(stage)
    assert ends_of(stage, proxy) == [end_of(check)]
    assert stage.intake.arrivals[0].at < ended + 1.0
    assert stage.authority.left() == 0


def test_no_answer_on_a_kept_connection_is_an_end_too(stage: Stage, proxy: Proxy) -> None:
    """Where the proxy can't tell so, the lease is left to expire."""
    with Connection(proxy.port) as connection:
        assert connection.request("/quick", headers=key()).status == 200
        connection.send("/reset?ms=20", headers=key())
        connection._file.readline()
    first, second = checks_of(stage, 2)
    told = [end_of(second)] if proxy.can(Lack.EVERY_END) else []
    assert ends_of(stage, proxy) == [end_of(first), *told]
    stage.authority.end(end_of(second))


def test_an_answer_that_breaks_off_has_ended_too(stage: Stage, proxy: Proxy) -> None:
    """The upstream resets its connection in the midst of an answer."""
    with Connection(proxy.port) as connection:
        connection.send("/broken?ms=20", headers=key())
        assert b" 200 " in connection._file.read()
    (check,) = checks_of(stage)
    assert ends_of(stage, proxy) == [end_of(check)]


def test_nothing_is_reported_while_an_answer_is_streamed(stage: Stage, proxy: Proxy) -> None:
    """The end of a request is the end of its body, not its head."""
    with Connection(proxy.port) as connection:
        connection.send("/stream?ms=300&pieces=3", headers=key())
        connection._file.read(len(PIECE) // 2)
        (check,) = checks_of(stage)
        assert ends_of(stage, proxy) == []
        assert stage.upstream.left() == 1
        connection._file.read(2 * len(PIECE))
    assert ends_of(stage, proxy) == [end_of(check)]
    says_that_it_runs = any(signal.progress for signal, _ in stage.intake.arrivals)
    assert says_that_it_runs == proxy.can(Lack.PROGRESS)


@pytest.mark.parametrize("by_reset", [False, True])
@pytest.mark.parametrize("target", ["/slow?ms=800", "/stream?ms=400&pieces=3"])
def test_a_client_that_leaves_has_ended_its_request(
    stage: Stage, proxy: Proxy, target: str, *, by_reset: bool
) -> None:
    """While the upstream works, or in the midst of its answer: reported at once, and the upstream is told."""
    connection = Connection(proxy.port)
    connection.send(target, headers=key())
    (check,) = checks_of(stage)
    wait_until(lambda: stage.upstream.left() == 1, within=PATIENCE, what="the upstream working")
    if "stream" in target:
        connection._file.read(len(PIECE) // 2)
    left = time.monotonic()
    leave(connection, by_reset=by_reset)
    wait_until(lambda: bool(stage.intake.ends()), within=0.3, what="the signal")
    assert stage.intake.arrivals[0].at < left + 0.3
    wait_until(lambda: stage.upstream.left() == 0, within=0.3, what="the upstream told")
    assert ends_of(stage, proxy) == [end_of(check)]


@pytest.mark.parametrize("proxy", [name for name in shipped.PROXIES if name != "envoy"], indirect=True)
def test_a_websocket_ends_with_its_connection(stage: Stage, proxy: Proxy) -> None:
    """Nothing is reported while both sides talk; whoever hangs up ends it. envoy.yaml has no upgrades."""
    connection = Connection(proxy.port)
    connection.send("/socket", headers=[*key(), *HANDSHAKE])
    assert connection._line().split(b" ")[1] == b"101"
    while connection._line():
        pass
    connection.send_body(b"echo")
    assert connection._file.read(4) == b"echo"
    (check,) = checks_of(stage)
    assert ends_of(stage, proxy) == []
    leave(connection, by_reset=False)
    wait_until(lambda: end_of(check) in stage.intake.ends(), within=PATIENCE, what="the signal")
    assert ends_of(stage, proxy) == [end_of(check)]


@pytest.mark.parametrize("by_reset", [False, True])
def test_a_client_that_leaves_during_the_check_is_reported_by_its_request_id(
    stage: Stage, proxy: Proxy, *, by_reset: bool
) -> None:
    """The proxy never learns the lease, ends the check, and the upstream never gets the request."""
    connection = Connection(proxy.port)
    connection.send("/quick", headers=key(LATE))
    (check,) = checks_of(stage)
    leave(connection, by_reset=by_reset)
    wait_until(lambda: bool(stage.intake.ends()), within=LATE_SECONDS / 2, what="the signal")
    assert ends_of(stage, proxy) == [unknown_end_of(check)]
    assert [target for target, _ in stage.upstream.requests] == ["/quick"] * 2
    assert stage.authority.left() == 0
    wait_until(lambda: bool(stage.authority.left_meanwhile), within=PATIENCE, what="the answer")
    assert stage.authority.left_meanwhile == {check.request_id: True}


@pytest.mark.parametrize("mode", [NEVER, CLOSED])
def test_a_check_without_an_answer_is_reported_by_its_request_id(
    stage: Stage, proxy: Proxy, mode: str
) -> None:
    """A lease may have been given that no answer brought: extauth is too slow, or dies."""
    assert request(proxy.port, "/quick", headers=key(mode)).status == 503
    # Of a kept connection that breaks nginx knows nothing, and asks once more.
    checks = checks_of(stage)
    assert {check.request_id for check in checks} == {checks[0].request_id}
    assert ends_of(stage, proxy) == [unknown_end_of(checks[0])]
    assert stage.authority.left() == 0


def test_a_request_while_extauth_is_gone_is_refused_and_reported_once(stage: Stage, proxy: Proxy) -> None:
    """Whether extauth had a part of it can't be known."""
    stage.background.run(stage.authority.stop())
    assert request(proxy.port, "/quick", headers=key()).status == 503
    stage.background.run(stage.authority.start())
    (end,) = ends_of(stage, proxy)
    assert end.lease == ""


@pytest.mark.parametrize("mode", [NO_LEASE, EMPTY_LEASE, "401", "403", "429"])
@pytest.mark.parametrize("target", ["/quick", "/slow?ms=20", "/reset", "/broken"])
def test_requests_without_a_lease_cost_no_signal(stage: Stage, proxy: Proxy, mode: str, target: str) -> None:
    """Refused ones, and those of clients who have no limit on requests in flight."""
    with Connection(proxy.port) as connection:
        connection.send(target, headers=key(mode))
        # The end of a broken answer is that of the connection.
        connection._file.readline() if target == "/broken" else connection.receive()
    checks_of(stage)
    assert ends_of(stage, proxy) == []


@pytest.mark.parametrize("mode", [NO_LEASE, EMPTY_LEASE])
def test_a_client_without_a_lease_that_leaves_costs_no_signal(stage: Stage, proxy: Proxy, mode: str) -> None:
    """The check had been answered, so that it is known that nothing is to be freed."""
    connection = Connection(proxy.port)
    connection.send("/slow?ms=300", headers=key(mode))
    wait_until(lambda: stage.upstream.left() == 1, within=PATIENCE, what="the upstream working")
    leave(connection, by_reset=True)
    wait_until(lambda: stage.upstream.left() == 0, within=PATIENCE, what="the upstream told")
    assert ends_of(stage, proxy) == []


def test_a_lease_is_between_proxy_and_extauth(stage: Stage, proxy: Proxy) -> None:
    """Neither client nor upstream see it, and what a client says of one reaches nobody."""
    forged = [("X-Extauth-Lease", "forged"), ("X-Request-Id", "forged")]
    answers: list[Response] = [
        request(proxy.port, "/quick", headers=[*key(mode), *forged]) for mode in ("", NO_LEASE, "429")
    ]
    assert [answer.status for answer in answers] == [200, 200, 429]
    seen = [*stage.upstream.requests, *answers, *(check.headers for check in stage.authority.checks)]
    assert "lease" not in str(seen)
    (check, *_) = stage.authority.checks
    assert ends_of(stage, proxy) == [end_of(check)]
    assert "forged" not in str(stage.intake.arrivals)


def test_requests_on_one_connection_have_a_signal_each(stage: Stage, proxy: Proxy) -> None:
    """A signal belongs to a request, not to a client's connection."""
    with Connection(proxy.port) as connection:
        for _ in range(20):
            assert connection.request("/quick", headers=key()).status == 200
    checks = [*stage.authority.checks]
    assert sorted(ends_of(stage, proxy)) == sorted(map(end_of, checks))


def test_nobody_waits_for_signals(stage: Stage, proxy: Proxy) -> None:
    """While nobody takes signals, requests pass as ever, and afterwards signals come again."""
    stage.background.run(stage.intake.stop())
    try:
        began = time.monotonic()
        with Connection(proxy.port) as connection:
            assert {connection.request("/quick", headers=key()).status for _ in range(50)} == {200}
        assert time.monotonic() - began < 2.0
    finally:
        stage.background.run(stage.intake.start())
    stage.authority.forget()
    assert request(proxy.port, "/quick", headers=key()).status == 200
    (check,) = checks_of(stage)
    assert end_of(check) in ends_of(stage, proxy)


def test_a_crowd_of_ends_is_reported_whole(stage: Stage, proxy: Proxy) -> None:
    """Signals of requests that end at the same time don't get lost, nor take a connection each."""
    stage.intake.delay = 0.05
    # Other proxies keep theirs from earlier tests.
    kept = stage.intake.listener.most_open = stage.intake.listener.open

    def ask() -> None:
        with Connection(proxy.port) as connection:
            for _ in range(10):
                assert connection.request("/quick", headers=key()).status == 200

    threads = [threading.Thread(target=ask) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_until(lambda: stage.authority.left() == 0, within=PATIENCE, what="all leases ended")
    assert sorted(stage.intake.ends()) == sorted(map(end_of, stage.authority.checks))
    assert stage.intake.listener.most_open - kept <= 32
