"""The one table of dialects: how each proxy asks, and what the client of that proxy is told in the end."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from extauth import compiled
from extauth.clock import Clock
from extauth.dialects.base import Answer, Dialect, RequestHead
from extauth.model import CheckRequest
from extauth.settings.model import Settings
from tests.answers import Reply, reply_of
from tests.fakes import FakeClock


class Proxy(NamedTuple):
    """One proxy: `ask` puts a client's request its way, `told` is what it makes of an answer."""

    name: str
    ask: Callable[[bytes, bytes, Mapping[bytes, bytes]], RequestHead]
    told: Callable[[Answer], Reply]


def _ask_envoy(method: bytes, target: bytes, headers: Mapping[bytes, bytes]) -> RequestHead:
    return RequestHead(method, b"/envoy" + target, headers)


def _ask_nginx(method: bytes, target: bytes, headers: Mapping[bytes, bytes]) -> RequestHead:
    original = {b"x-original-method": method, b"x-original-uri": target}
    return RequestHead(b"HEAD", b"/nginx", {**original, **headers})


def _ask_forward(method: bytes, target: bytes, headers: Mapping[bytes, bytes]) -> RequestHead:
    """Do what Traefik and Caddy do: Host is that of the service."""
    original = {b"x-forwarded-method": method, b"x-forwarded-uri": target}
    others = {name: value for name, value in headers.items() if name != b"host"}
    hosts = {b"host": b"127.0.0.1:9000", b"x-forwarded-host": headers.get(b"host", b"")}
    return RequestHead(b"GET", b"/forward", {**original, **others, **hosts})


def _told_by_nginx(answer: Answer) -> Reply:
    """Do what the shipped include does: status and body from their headers."""
    reply = reply_of(answer)
    assert reply.status in {200, 401, 403}, "auth_request would turn this into a 500"
    status = int(reply.headers["x-extauth-status"])
    assert (status == 200) == (reply.status == 200)
    assert (status == 401) == (reply.status == 401)
    if status == 200:
        assert "x-extauth-body" not in reply.headers
        return reply
    body = reply.headers["x-extauth-body"].encode()
    # Whoever asks auth_request without the include sees the body too, and it is the same.
    assert body == reply.body
    return Reply(status, reply.headers, body)


PROXIES: Mapping[str, Proxy] = {
    "envoy": Proxy("envoy", _ask_envoy, reply_of),
    "nginx": Proxy("nginx", _ask_nginx, _told_by_nginx),
    "forward": Proxy("forward", _ask_forward, reply_of),
}


class Spoken:
    """A dialect under some sections of the settings, and the proxy that speaks it."""

    def __init__(self, name: str, *, clock: Clock | None = None, **sections: Any) -> None:
        self.proxy = PROXIES[name]
        dialects = compiled.dialects(Settings.model_validate(sections), clock or FakeClock())
        self.dialect: Dialect = {dialect.name: dialect for dialect in dialects}[name]

    def read(self, target: str = "/", *, method: str = "GET", **headers: str) -> CheckRequest:
        """Return what the dialect reads of a request; underscores in the headers' names stand for dashes."""
        lines = {name.replace("_", "-").encode(): value.encode("latin-1") for name, value in headers.items()}
        lines.setdefault(b"host", b"api.example.com")
        return self.dialect.parse(self.proxy.ask(method.encode("latin-1"), target.encode("latin-1"), lines))


def members_in_order(body: bytes) -> list[str]:
    """Return the names of a JSON object's members; an AssertionError where one occurs twice."""
    pairs: list[tuple[str, Any]] = json.loads(body, object_pairs_hook=lambda found: found)
    names = [name for name, _ in pairs]
    assert len(names) == len(set(names))
    return names
