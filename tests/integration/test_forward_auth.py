"""Traefik's own forwardAuth without the plugin, as its README shows it: what holds, and what is lost."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from . import shipped
from .client import request
from .conftest import Keys
from .processes import free_ports
from .service import Service
from .upstream import Upstream


@pytest.fixture(scope="module")
def port(folder: Path, service: Service, session_upstream: tuple[Upstream, int]) -> Iterator[int]:
    """Where a Traefik listens that has the README's lines in the place of the shipped ones."""
    (ingress,) = free_ports(1)
    home = folder / "forward-auth"
    home.mkdir()
    ports = {8082: session_upstream[1], 8083: ingress, 9000: service.check_port, 9002: 1}
    traefik = shipped.child("traefik", home, ports)
    guide = (shipped.REPOSITORY / "deploy/traefik/README.md").read_text()
    (lines,) = re.findall(r"^```yaml\n(.*?)^```", guide, re.MULTILINE | re.DOTALL)
    text = shipped.with_ports(lines, expected=frozenset({8082, 9000}), ports=ports)
    (home / "dynamic.yml").write_text(text)
    traefik.start()
    yield ingress
    traefik.stop()


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_it_says_who_calls(port: int, keys: Keys, upstream: Upstream, method: str) -> None:
    """Identity can't be forged; the limits and the removal of the key are what the plugin is for."""
    forged = [("X-Auth-User-Id", "forged"), ("X-Auth-Tier", "forged"), ("X-Forwarded-Uri", "/open/a")]
    answer = request(
        port, "/public/a", method=method, headers=[("X-API-Key", keys.reader.text), *forged], body=b""
    )
    assert (answer.status, answer.names("x-ratelimit", "ratelimit")) == (200, [])
    (received,) = upstream.requests
    assert received.header("x-auth-user-id") == "reader@example.com"
    assert received.header("x-auth-tier") == "roomy"
    assert received.header("x-api-key") == keys.reader.text


def test_it_refuses_with_the_true_status(port: int, keys: Keys, upstream: Upstream) -> None:
    """With extauth's problem body, and none of the words that a proxy keeps to itself."""
    asked = [
        ("/public/a", "wrong", 401),
        ("/admin", keys.reader.text, 403),
        ("/any", keys.spent.text, 429),
        ("/public/a;b", keys.reader.text, 400),
    ]
    answers = [request(port, target, headers=[("X-API-Key", key)]) for target, key, _ in asked]
    assert [answer.problem()["status"] for answer in answers] == [status for *_, status in asked]
    assert answers[2].header("retry-after")
    assert [name for answer in answers for name in answer.names("x-extauth", "x-auth")] == []
    assert upstream.requests == []


def test_it_decides_about_the_host_of_the_request(port: int, upstream: Upstream) -> None:
    """Which comes in X-Forwarded-Host: Host is extauth's own there."""
    assert request(port, "http://other.example/hosted/a").status == 200
    assert [received.header("host") for received in upstream.requests] == ["other.example"]
    assert request(port, "/hosted/a", headers=[("X-Forwarded-Host", "other.example")]).status == 401


def test_it_fails_closed(port: int, keys: Keys, upstream: Upstream, service: Service) -> None:
    """With a bare 500."""
    service.process.stop()
    try:
        answer = request(port, "/public/a", headers=[("X-API-Key", keys.reader.text)])
        assert (answer.status, answer.body) == (500, b"")
        assert upstream.requests == []
    finally:
        service.process.start()
