"""The doctor and a running server: its parts, its configuration, what its proxies report."""

from __future__ import annotations

import asyncio
import http.client
import json
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from extauth.clock import SystemClock
from extauth.doctor.diagnosis import diagnose
from extauth.doctor.findings import Finding, Level
from extauth.doctor.signals import signal_findings
from extauth.settings.load import load_settings
from extauth.settings.model import Settings
from tests.doctor.finding import level_of, looked_over
from tests.integration.processes import wait_until
from tests.integration.upstream import Answer, Upstream
from tests.nodes.node import HOST, Node


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """Give a server in which one request of a key may be in flight, for a second at most."""
    tiers = {"default": {"rates": ["1000/second"], "concurrency": {"max": 1, "ttl": "1s"}}}
    node = Node(tmp_path / "node", store_url=f"sqlite:///{tmp_path / 'extauth.db'}", tiers=tiers)
    node.config.chmod(0o600)
    node.child.start()
    yield node
    node.close()
    node.child.stop()


def examined(node: Node) -> list[Finding]:
    """Return what the doctor finds beside the server."""
    settings = load_settings(node.config, {})
    return asyncio.run(diagnose(settings, node.config, SystemClock()))


def test_a_server_that_works_is_well(node: Node) -> None:
    """Nothing is bad, and each part of it was asked."""
    findings = examined(node)
    assert [one for one in findings if one.level is Level.BAD] == []
    assert level_of(findings, "service", "All parts") is Level.OK
    assert level_of(findings, "service", "configuration as it was last loaded") is Level.OK
    assert level_of(findings, "service", "refuses whoever shows no key") is Level.OK
    assert level_of(findings, "signals", "No lease") is Level.OK
    assert level_of(findings, "store", "One server has it open") is Level.OK


def test_no_server_is_no_fault_but_one_that_hangs_is(node: Node) -> None:
    """The doctor may be called before the start; a server that takes connections has to answer."""
    node.child.pause()
    settings = load_settings(node.config, {})
    findings = asyncio.run(diagnose(settings, node.config, SystemClock(), within_seconds=1.0))
    node.child.resume()
    assert level_of(findings, "service", "No answer within") is Level.BAD
    node.child.stop()
    assert level_of(examined(node), "service", "No server answers") is Level.WARN


@pytest.fixture
def stranger() -> Iterator[Upstream]:
    """Give a server that answers everything alike, as something else than extauth does."""
    server = Upstream()
    yield server
    server.stop()


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (200, b"ok\n", "200 with no JSON"),
        (404, b"<html>", "404 with no JSON"),
        (200, b"", "200 with no JSON"),
        (200, b"\xff\xfe", "200 with no JSON"),
        (200, b"[" * 2_000, "200 with no JSON"),
        (200, b"[1]", "200 with JSON, but no object"),
        (200, b"null", "200 with JSON, but no object"),
        (503, b'{"status": "DOWN"}', "503 with an object without the parts of extauth"),
        (200, b'{"parts": ["config"]}', "without the parts of extauth"),
        (200, b'{"parts": {"store": "ok"}}', "without the parts of extauth"),
        (200, b'{"parts": {"config": {"ok": true}}}', "without the parts of extauth"),
        (200, b'{"parts": {"config": "ok"}, "workers": 4}', "with workers of another shape"),
    ],
)
def test_an_odd_answer_is_told_as_what_it_is(
    stranger: Upstream, tmp_path: Path, status: int, body: bytes, said: str
) -> None:
    """Each of the three that were asked for is judged by itself, and none of them is a fault of extauth."""
    stranger.answer = Answer(status, (), body)
    listen = {"admin": f"{HOST}:{stranger.start()}"}
    store = {"url": f"sqlite:///{tmp_path / 'extauth.db'}"}
    findings = looked_over(Settings.model_validate({"listen": listen, "store": store}))
    assert level_of(findings, "service", "for /readyz is not extauth's") is Level.BAD
    assert level_of(findings, "service", said) is Level.BAD
    assert level_of(findings, "service", f"for /metrics is not extauth's: {status}") is Level.BAD
    assert level_of(findings, "service", f"answered {status} to a request without a key") is Level.BAD
    assert "fault of extauth" not in repr(findings)


def test_a_configuration_that_was_refused_or_waits_is_told(node: Node) -> None:
    """What the server goes by is not what its file says."""
    good = node.config.read_text()
    settings = load_settings(node.config, {})
    for changed, words, level in (
        (good.replace("1000/second", "many"), "not that of its file", Level.BAD),
        (json.dumps({**json.loads(good), "log": {"file": "elsewhere.log"}}), "restart", Level.WARN),
    ):
        node.config.write_text(changed)
        wait_until(lambda: _readiness(node)["config"] != "ok", within=10, what="a reload")  # type: ignore[index]  # of JSON
        findings = asyncio.run(diagnose(settings, None, SystemClock()))
        assert level_of(findings, "service", words) is level
        node.config.write_text(good)
        wait_until(lambda: _readiness(node)["config"] == "ok", within=10, what="the old one")  # type: ignore[index]  # of JSON


def _readiness(node: Node) -> object:
    with urllib.request.urlopen(f"http://{HOST}:{node.admin_port}/readyz", timeout=10) as answer:
        return json.load(answer)["parts"]


def test_a_store_that_failed_shows_in_the_parts(node: Node, tmp_path: Path) -> None:
    """As /readyz names it."""
    (tmp_path / "extauth.db").rename(tmp_path / "moved")
    (tmp_path / "extauth.db").write_bytes(b"x" * 8192)
    for leftover in ("extauth.db-wal", "extauth.db-shm"):
        (tmp_path / leftover).unlink(missing_ok=True)
    assert any(one.examination == "store" and one.level is Level.BAD for one in examined(node))


def test_leases_that_nobody_reports_are_bad(node: Node) -> None:
    """The proxy asks and never says that a request ended: doubtful at first, bad once a lease expired."""
    key = node.create_key()["key"]
    assert node.check(key) == 200
    assert level_of(examined(node), "signals", "no report of an end came; 0 expired") is Level.WARN
    wait_until(lambda: node.check(key) == 200, within=10, what="the lease to expire")
    wait_until(
        lambda: node.metric("extauth_leases_ended_total", by="expiry") >= 1,
        within=10,
        what="the expiry counted",
    )
    assert level_of(examined(node), "signals", "no report of an end came") is Level.BAD


def samples(
    *,
    taken: float,
    signal: float = 0,
    expiry: float = 0,
    unknown: float = 0,
    refused: Mapping[str, float] | None = None,
    **unread: float,
) -> dict[str, dict[str, float]]:
    """Return the metrics that the examination reads."""
    return {
        "extauth_leases_taken_total": {"": taken},
        "extauth_leases_ended_total": {"signal": signal, "disconnect": 0, "expiry": expiry},
        "extauth_completion_signals_total": {"otlp": signal},
        "extauth_completion_unknown_total": {"": unknown},
        "extauth_completion_unread_total": unread,
        "extauth_completion_refusals_total": dict(refused or {}),
    }


@pytest.mark.parametrize(
    ("expiry", "level"), [(0, Level.OK), (5, Level.OK), (30, Level.WARN), (300, Level.BAD)]
)
def test_how_many_leases_may_expire(expiry: float, level: Level) -> None:
    """A few of a thousand are a proxy that restarted; a third are reports that don't come."""
    findings = signal_findings(samples(taken=1_000, signal=1_000 - expiry, expiry=expiry))
    assert level_of(findings, "signals", "ended by expiry") is level


def test_what_else_came_is_told() -> None:
    """Each with what mends it."""
    findings = signal_findings(samples(taken=10, signal=10, unknown=4, foreign=3, dropped=2, ignored=9))
    assert level_of(findings, "signals", "about no lease") is Level.WARN
    assert level_of(findings, "signals", "3 reports were foreign") is Level.WARN
    assert level_of(findings, "signals", "2 reports were dropped") is Level.WARN
    assert "ignored" not in repr(findings)


def test_reports_that_were_refused_are_told_by_what_mends_them() -> None:
    """A proxy without the token reports in vain long before its leases expire."""
    refused = {"400": 0, "401": 3, "413": 1, "503": 2}
    findings = signal_findings(samples(taken=10, signal=10, refused=refused))
    mends = {one.said: one.mend for one in findings if "refused with" in one.said}
    assert {said[-4:-1] for said in mends} == {"401", "413", "503"}
    assert "EXTAUTH_THROTTLE__TOKEN" in str(mends["3 reports over HTTP were refused with 401."])
    assert "listen.max_connections" in str(mends["2 reports over HTTP were refused with 503."])
    assert level_of(findings, "signals", "refused with 401") is Level.WARN


def test_the_refusals_of_a_running_server_are_read(node: Node) -> None:
    """By the names and labels that it has for them."""
    connection = http.client.HTTPConnection(HOST, node.completion_port, timeout=10)
    connection.request("POST", "/elsewhere", b"an-id")
    assert connection.getresponse().status == 404
    connection.close()
    assert level_of(examined(node), "signals", "1 reports over HTTP were refused with 404") is Level.WARN
