"""The pages for consumers behind both proxies, by the snippets of docs/consumers.md, and nothing else."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from extauth.settings.headers import SECURITY_HEADERS

from . import shipped
from .client import request
from .conftest import Proxy
from .processes import Child, free_ports
from .service import Service
from .upstream import Upstream

SNIPPETS = re.findall(
    r"^```(?:nginx|yaml)\n(.*?)^```",
    (shipped.REPOSITORY / "docs" / "consumers.md").read_text(encoding="utf-8"),
    re.MULTILINE | re.DOTALL,
)
_ADMIN = "9001"
# A header that only the admin listener has, and only on the pages.
_PAGES = "etag"


def insert(file: Path, *, before: str, snippet: str, admin_port: int) -> None:
    """Put a snippet before the one line that begins like this, at its indentation."""
    lines = file.read_text().splitlines(keepends=True)
    (at,) = [number for number, line in enumerate(lines) if line.strip().startswith(before)]
    indentation = lines[at][: len(lines[at]) - len(lines[at].lstrip())]
    assert snippet.count(_ADMIN) <= 1
    lines.insert(at, textwrap.indent(snippet.replace(_ADMIN, str(admin_port)), indentation))
    file.write_text("".join(lines))


@pytest.fixture(scope="module")
def published(
    folder: Path, service: Service, session_upstream: tuple[Upstream, int]
) -> Iterator[dict[str, Proxy]]:
    """Both proxies as shipped, with what docs/consumers.md adds."""
    place = folder / "published"
    place.mkdir(mode=0o755)
    envoy, envoy_admin, nginx, completion = free_ports(4)
    ports = {8080: envoy, 9901: envoy_admin, 8081: nginx, 8082: session_upstream[1]}
    ports |= {9000: service.check_port, 9002: completion}
    children: list[Child] = [shipped.child("envoy", place, ports), shipped.child("nginx", place, ports)]
    _, location, route, cluster = SNIPPETS
    for file, before, snippet in (
        ("nginx.conf", "location / {", location),
        ("envoy.yaml", '- match: { prefix: "/" }', route),
        ("envoy.yaml", "- name: upstream", cluster),
    ):
        insert(place / file, before=before, snippet=snippet, admin_port=service.admin_port)
    try:
        for child in children:
            child.start()
        yield {"envoy": Proxy("envoy", envoy), "nginx": Proxy("nginx", nginx)}
    finally:
        for child in children:
            child.stop()


@pytest.fixture(params=["envoy", "nginx"])
def publisher(request: pytest.FixtureRequest, published: dict[str, Proxy]) -> Proxy:
    """One proxy after the other."""
    return published[request.param]


@pytest.mark.parametrize("path", ["/docs/", "/docs/limits", "/docs/problems/rate_limited", "/docs/client.py"])
def test_pages_are_read_without_a_key(publisher: Proxy, upstream: Upstream, path: str) -> None:
    """Word for word, with their headers; the API isn't asked."""
    answer = request(publisher.port, path)
    assert answer.status == 200
    assert answer.header(_PAGES)
    assert answer.header("content-security-policy") != SECURITY_HEADERS["Content-Security-Policy"]
    assert b"<main" in answer.body or answer.body.startswith(b'"""')
    assert upstream.requests == []


def test_what_is_known_is_not_sent_again(publisher: Proxy) -> None:
    """Validators pass through the proxy."""
    tag = request(publisher.port, "/docs/limits").header("etag") or ""
    assert request(publisher.port, "/docs/limits", headers=[("If-None-Match", tag)]).status == 304


def test_a_page_that_is_not_there_is_a_page(publisher: Proxy) -> None:
    """It isn't taken for a refusal."""
    answer = request(publisher.port, "/docs/nowhere")
    assert (answer.status, b"Not found" in answer.body) == (404, True)


@pytest.mark.parametrize(
    "target",
    [
        "/metrics",
        "/admin/v1/keys",
        "/docs/../metrics",
        "/docs/%2e%2e/metrics",
        "/docs/..%2fmetrics",
        "/docs/x/..%2f..%2fmetrics",
        "/docs//../metrics",
        "/docs/..;/metrics",
        "/docs/.%2e/admin/v1/openapi.json",
        "//docs/../readyz",
        "/livez",
    ],
)
def test_nothing_else_of_the_admin_listener_is_reached(publisher: Proxy, target: str) -> None:
    """However the path is written: it is the API's, which needs a key, or it is no page."""
    answer = request(publisher.port, target)
    assert answer.status in {400, 401, 404}
    assert b"extauth_checks_total" not in answer.body
    assert b"openapi" not in answer.body
    assert not answer.header(_PAGES) or answer.status == 404


def test_the_api_behind_still_needs_a_key(publisher: Proxy, upstream: Upstream) -> None:
    """The addition takes nothing away."""
    assert request(publisher.port, "/docsy").status == 401
    assert request(publisher.port, "/v1/docs/").status == 401
    assert upstream.requests == []
