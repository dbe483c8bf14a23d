from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extauth.server.asgi import CheckApp
from tests.fakes import FakeClock
from tests.world import open_world, settings_in

from .asgi_servers import ask_by_scope, ask_under_uvicorn
from .in_process import Listener
from .service import create_keys
from .wire import request

_TIERS = {"unlimited": {}, "spent": {"rates": ["1/day"]}, "limited": {"rates": ["10/second", "1000/hour"]}}
_ROUTES = [
    {"path": "/open/**", "auth": "none"},
    {"path": "/optional/**", "auth": "optional"},
    {"path": "/scoped/**", "scopes": ["orders:read", "orders:write"]},
    {"path": "/hosted/**", "hosts": ["other.example"], "auth": "none"},
    {"path": "/posted/**", "methods": ["POST"], "auth": "none"},
]
_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "QUERY"]
_A_DAY = 86_400
_MADE_UP_ID = re.compile(rb"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class _Subject(NamedTuple):
    """One app, asked through the protocol class and as ASGI, with the clock that both see."""

    listener: Listener
    clock: FakeClock
    keys: dict[str, str]

    def by_protocol(self, data: bytes) -> bytes:
        connection = self.listener.connect()
        connection.send(data)
        written = connection.transport.written
        self.listener.turn(connection.transport.lose)
        return _comparable(written)

    def by_uvicorn(self, data: bytes) -> bytes:
        return _comparable(ask_under_uvicorn(self.listener, data))


def _comparable(answer: bytes) -> bytes:
    """Return an answer without date and connection, and with ids that were made up for it hidden."""
    head, separator, body = answer.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.startswith((b"date: ", b"connection: "))]
    assert lines[0].startswith(b"HTTP/1.1 ")
    return _MADE_UP_ID.sub(b"(id)", b"\r\n".join(lines) + separator + body)


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Subject]:
    """An app with keys of several tiers, all of them known already."""
    folder: Path = tmp_path_factory.mktemp("asgi")
    clock = FakeClock()
    with Listener() as listener:
        texts = listener.run(create_keys(settings_in(folder, tiers=_TIERS), list(_TIERS)))
        world = listener.enter(open_world(folder, clock=clock, tiers=_TIERS, routes=_ROUTES))
        listener.responder = world.app.responder
        for key in texts:
            # From now on each key is known, and one is spent.
            assert listener.run(world.ask(key=key)).status == 200
        yield _Subject(listener, clock, dict(zip(_TIERS, texts, strict=True)))


def _table(keys: dict[str, str]) -> dict[str, bytes]:
    valid = f"X-API-Key: {keys['unlimited']}"
    nginx = ("X-Original-Method: GET", "X-Original-URI: /v1/orders?page=2")
    forwarded = ("X-Forwarded-Method: GET", "X-Forwarded-Uri: /v1/orders", "X-Forwarded-Host: a.example")
    return {
        "allowed": request("/envoy/v1/orders", valid),
        "allowed, as bearer": request("/envoy/v1/orders", f"Authorization: Bearer {keys['unlimited']}"),
        "allowed, with query": request("/envoy/v1/orders?page=2&api_key=x", valid),
        "allowed, empty query": request("/envoy/v1/orders?", valid),
        "allowed, with body": request("/envoy/a", valid, "Content-Length: 5", method="POST", body=b"hello"),
        "allowed, old": request("/envoy/a", valid, version="HTTP/1.0"),
        "no key": request("/envoy/v1/orders"),
        "wrong key": request("/envoy/v1/orders", "X-API-Key: wrong"),
        "one character off": request("/envoy/v1/orders", valid[:-1] + ("a" if valid[-1] != "a" else "b")),
        "with an id": request("/envoy/v1/orders", "X-Request-Id: id-1"),
        "two keys": request("/envoy/v1/orders", valid, "Authorization: Bearer other"),
        "repeated key": request("/envoy/v1/orders", valid, valid),
        "repeated in another case": request("/envoy/v1/orders", valid, valid.upper()),
        "white space around": request("/envoy/v1/orders", valid.replace(": ", ": \t ") + " \t "),
        "white space behind a bearer": request("/envoy/a", f"Authorization: Bearer {keys['unlimited']} \t"),
        "white space behind a method": request(
            "/nginx", valid, "X-Original-Method: GET\t", "X-Original-URI: /a "
        ),
        "empty key": request("/envoy/v1/orders", "X-API-Key:"),
        "bytes beyond ASCII": request("/envoy/v1/orders", valid + "\xe4", "X-Request-Id: \xe4\xff"),
        "scope missing": request("/envoy/scoped/a", valid),
        "spent": request("/envoy/v1/orders", f"X-API-Key: {keys['spent']}"),
        "ambiguous path": request("/envoy/a/../b", valid),
        "encoded slash": request("/envoy/a%2fb", valid),
        "encoded letter": request("/envoy/%61", valid),
        "encoded UTF-8": request("/envoy/%c3%a4", valid),
        "no path": request("/envoy", valid),
        "double slash": request("/envoy//a", valid),
        "open": request("/envoy/open/a"),
        "open, with a key": request("/envoy/open/a", valid),
        "optional": request("/envoy/optional/a"),
        "another host": request("/envoy/hosted/a", host="other.example"),
        "host with port": request("/envoy/hosted/a", host="OTHER.example:80"),
        "posted": request("/envoy/posted/a", method="POST"),
        "unknown method": request("/envoy/posted/a", method="PROPFIND"),
        "no check": request("/elsewhere"),
        "root": request("/"),
        "asterisk": request("*", method="OPTIONS"),
        "nginx allowed": request("/nginx", valid, *nginx),
        "nginx denied": request("/nginx", *nginx),
        "nginx without a target": request("/nginx", valid),
        "nginx with two targets": request("/nginx", valid, *nginx, "X-Original-URI: /other"),
        "forwarded": request("/forward", valid, *forwarded),
        "forwarded, refused": request("/forward", *forwarded),
        "forwarded without a target": request("/forward", valid),
        "forwarded for two hosts": request("/forward", valid, *forwarded, "X-Forwarded-Host: b.example"),
        "nginx, spent": request("/nginx", f"X-API-Key: {keys['spent']}", *nginx),
        "forwarded addresses": request(
            "/envoy/a", valid, "X-Forwarded-For: 1.1.1.1", "X-Forwarded-For: 2.2.2.2"
        ),
    }


_NAMES = list(_table(dict.fromkeys(_TIERS, "k")))


@pytest.mark.parametrize("method", [None, "HEAD"])
@pytest.mark.parametrize("name", _NAMES)
def test_both_ways_to_serve_answer_alike(subject: _Subject, name: str, method: str | None) -> None:
    """Status line, header lines in their order, and body are the same bytes, for HEAD too."""
    data = _table(subject.keys)[name]
    if method is not None:
        data = method.encode() + b" " + data.partition(b" ")[2]
    answer = subject.by_protocol(data)
    assert subject.by_uvicorn(data) == answer
    if method == "HEAD":
        assert answer.endswith(b"\r\n\r\n")


def test_limits_are_told_alike(subject: _Subject) -> None:
    """The headers of several rates, on a full bucket each time and on the way to the first refusal."""
    data = request("/envoy/a", f"X-API-Key: {subject.keys['limited']}", "X-Request-Id: 1")
    runs = []
    for ask in (subject.by_protocol, subject.by_uvicorn):
        subject.clock.advance(seconds=_A_DAY)
        runs.append([ask(data) for _ in range(12)])
    assert runs[0] == runs[1]
    assert runs[0][0].startswith(b"HTTP/1.1 200 ")
    assert runs[0][-1].startswith(b"HTTP/1.1 429 ")
    # The spent key is to be spent again for the other tests.
    subject.by_protocol(request("/envoy/a", f"X-API-Key: {subject.keys['spent']}"))


def test_a_scope_that_only_has_what_it_must_have_is_enough(subject: _Subject) -> None:
    """Other servers leave out what uvicorn adds: raw_path, query, method and headers are all that is read."""
    app = CheckApp(subject.listener.responder)
    scope = {
        "type": "http",
        "method": "GET",
        "raw_path": b"/envoy/v1/orders",
        "query_string": b"page=2",
        "headers": [
            (b"host", b"api.example"),
            (b"x-api-key", subject.keys["unlimited"].encode()),
            (b"x-request-id", b"1"),
        ],
    }
    status, headers, body = subject.listener.run(ask_by_scope(app, scope))
    data = request("/envoy/v1/orders?page=2", f"X-API-Key: {subject.keys['unlimited']}", "X-Request-Id: 1")
    lines = [b"%b: %b" % pair for pair in headers]
    assert subject.by_protocol(data) == b"\r\n".join([b"HTTP/1.1 %d OK" % status, *lines, b"", body])


_TEXT = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=20)
_SPACE = st.sampled_from(["", " ", "\t", " \t "])
_NAME = st.sampled_from(
    ["X-API-Key", "x-api-key", "Authorization", "X-Original-URI", "X-Original-Method", "X-Forwarded-For",
     "X-Extauth-Client-Ip", "X-Request-Id", "Cookie", "X-Other", "x-OTHER"]
)  # fmt: skip
_SEGMENT = st.sampled_from(
    [
        "open",
        "scoped",
        "optional",
        "hosted",
        "posted",
        "a",
        "..",
        ".",
        "",
        "%2f",
        "%61",
        "%c3%a4",
        "a;b",
        "a=b",
        "%",
        "~",
        "[x]",
        "@",
    ]
)
_TARGET = st.tuples(
    st.sampled_from(["/envoy", "/nginx", "/forward", "/envoyx", "/other", ""]),
    st.lists(_SEGMENT, max_size=3).map(lambda segments: "".join(f"/{segment}" for segment in segments)),
    st.sampled_from(["", "?", "?a=b", "?a=b?c", "?api_key=x"]),
).map(lambda parts: ("".join(parts[:2]) or "/") + parts[2])


@st.composite
def _lines(draw: st.DrawFn) -> str:
    value = draw(
        st.one_of(
            st.sampled_from(
                [
                    "{unlimited}",
                    "{spent}",
                    "Bearer {unlimited}",
                    "bearer {spent}",
                    "Basic dTpw",
                    "GET",
                    "/open/a",
                    "1.1.1.1, 2.2.2.2",
                ]
            ),
            _TEXT.map(lambda text: text.replace("{", "").replace("}", "")),
            st.just(""),
        )
    )
    return f"{draw(_NAME)}:{draw(_SPACE)}{value}{draw(_SPACE)}"


@settings(max_examples=500)
@given(
    target=_TARGET,
    method=st.sampled_from(_METHODS),
    host=st.sampled_from(["api.example", "other.example", "OTHER.example:80", "[::1]:80"]),
    lines=st.lists(_lines(), max_size=5),
)
def test_both_ways_to_serve_answer_any_request_alike(
    subject: _Subject, target: str, method: str, host: str, lines: list[str]
) -> None:
    """The same for requests that nobody thought of."""
    with_keys = [line.format(**subject.keys) for line in lines]
    data = request(target, *with_keys, method=method, host=host)
    assert subject.by_uvicorn(data) == subject.by_protocol(data)
