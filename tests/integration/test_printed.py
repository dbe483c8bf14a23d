"""What `extauth proxy` prints: the real programs take it, and with it alone they ask the real service."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from extauth.proxies.printing import KINDS, print_configuration
from extauth.settings.model import Settings
from extauth.settings.values import Address
from tests.proxies.varied import POSSIBLE, TOKEN, VARIANTS, Variant

from . import shipped
from .client import Connection, request
from .conftest import running
from .processes import Child, accepts, free_ports
from .service import Service
from .upstream import Upstream

# Of characters that proxies read as something else.
SECURITY = {
    "X-Frame-Options": "DENY",
    "Permissions-Policy": 'camera=(self "https://a.example"), x=()',
    "X-Percent": "5% 'a'",
}
_IN_FLIGHT = f"""\
  single: {{rates: ["100000/second"], concurrency: {{max: 1, queue: 4, wait: 5s}}}}
throttle: {{token: {TOKEN}}}
headers:
  security: {json.dumps(SECURITY)}
"""
_VALIDATED = [(proxy, name) for proxy, name in POSSIBLE if shipped.PROXIES[proxy].validate]


def _has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


def _written(proxy: str, variant: Variant, folder: Path) -> Address:
    """Write what is printed, and return where it listens: nginx opens that to validate, so on a free port."""
    places = variant.places(proxy)
    listen, internal = free_ports(2)
    host = places.listen.host if _has_ipv6() else "127.0.0.1"
    places = dataclasses.replace(
        places,
        listen=Address(host, listen),
        internal=places.internal and Address("127.0.0.1", internal),
    )
    printed = print_configuration(proxy, Settings.model_validate(variant.settings), places)
    for name, text in printed.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return places.listen


@pytest.mark.parametrize(("proxy", "name"), _VALIDATED)
def test_the_program_accepts_what_is_printed(tmp_path: Path, proxy: str, name: str) -> None:
    """It finds no mistake, and nothing that it warns of or calls deprecated, whatever the settings."""
    variant = VARIANTS[name]
    with (
        tempfile.TemporaryDirectory(prefix="extauth-") as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as reports,
    ):
        if name == "sockets":
            # Caddy looks for the socket of its log.
            sockets = {one: f"unix:{folder}/{one}" for one in ("check", "completion")}
            reports.bind(f"{folder}/completion.dgram")
            variant = variant._replace(settings={"listen": sockets})
        _written(proxy, variant, tmp_path)
        shipped.require_accepted(proxy, tmp_path)


@pytest.mark.parametrize("name", ["IPv6", "queue", "headers", "no headers"])
def test_traefik_takes_what_is_printed(tmp_path: Path, name: str) -> None:
    """It has no way to be asked but to be started: it takes the files and the plugin without a word."""
    listen = _written("traefik", VARIANTS[name]._replace(listen=""), tmp_path)
    traefik = _child("traefik", tmp_path, listen.port)
    with running(traefik):
        assert request(listen.port).status == 503  # nobody is there to be asked
    assert re.findall("ERR|WRN", traefik.output()) == [], traefik.output()


@pytest.fixture(scope="module")
def printing(folder: Path) -> Iterator[Service]:
    """A service that wants a token with reports, and lets one request of a tier in at a time."""
    place = folder / "printed"
    place.mkdir(mode=0o755)
    check, admin, completion = free_ports(3)
    service = Service(place, check_port=check, admin_port=admin, completion_port=completion, more=_IN_FLIGHT)
    with running(service.process):
        yield service


@pytest.mark.parametrize("proxy", KINDS)
def test_a_printed_configuration_is_whole(
    folder: Path, printing: Service, session_upstream: tuple[Upstream, int], proxy: str
) -> None:
    """With nothing else the proxy refuses and lets pass, tells who it is, and reports when requests end."""
    upstream, upstream_port = session_upstream
    listen, internal = free_ports(2)
    options = {"listen": f"127.0.0.1:{listen}", "upstream": f"127.0.0.1:{upstream_port}"}
    if KINDS[proxy].internal:
        options["internal"] = f"127.0.0.1:{internal}"
    place = folder / "printed" / proxy
    place.mkdir(mode=0o755)
    printing.print_configuration(proxy, place, **options)
    spent = printing.create_key("spent@example.com", tier="spent")
    # Of its own, because a proxy that is stopped leaves a lease behind.
    reader = printing.create_key("reader@example.com", scopes=("public:read",), tier="single")
    upstream.reset()
    with running(_child(proxy, place, listen)):
        assert request(listen, "/any", headers=[("X-API-Key", spent.text)]).status == 200
        refused = request(listen, "/any", headers=[("X-API-Key", spent.text)])
        assert (refused.status, refused.problem()["code"]) == (429, "rate_limited")
        assert {name: refused.header(name.lower()) for name in SECURITY} == SECURITY
        assert request(listen, "/public/a").status == 401
        assert request(listen, "/admin", headers=[("X-API-Key", reader.text)]).status == 403
        with Connection(listen) as connection:
            # Each gets the place of the one before, whose end was reported.
            headers = [("X-API-Key", reader.text), ("X-Auth-User-Id", "forged")]
            answers = [connection.request("/public/a", headers=headers) for _ in range(4)]
    assert [answer.status for answer in answers] == [200, 200, 200, 200]
    assert answers[0].header("x-ratelimit-limit") == "100000"
    assert {name: answers[0].header(name.lower()) for name in SECURITY} == SECURITY
    received = [one for one in upstream.requests if one.target == "/public/a"]
    assert {one.header("x-auth-user-id") for one in received} == {reader.user_id}
    assert reader.text not in str(received)


def _child(proxy: str, folder: Path, port: int) -> Child:
    kind = shipped.PROXIES[proxy]
    return Child(
        kind.command(folder),
        log=folder / f"{proxy}.log",
        folder=folder,
        ready=lambda: accepts(port) and kind.ready(port),
        environment={**os.environ, "HOME": str(folder), "EXTAUTH_THROTTLE__TOKEN": TOKEN},
    )
