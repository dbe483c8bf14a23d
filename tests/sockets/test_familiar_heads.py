"""Heads of a familiar form are not parsed, and nobody can tell: not by an answer nor by the log."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extauth.dialects.base import Answer, RequestHead
from extauth.server.familiar import PATTERN_AFTER, FamiliarHeads, Form, Question
from extauth.server.responder import Responder
from tests.checking import Rig

from .in_process import Listener

ROUTES = [
    {"path": "/open/**", "auth": "none"},
    {"path": "/v1/{id}", "methods": ["GET", "HEAD"], "scopes": ["v1:read"]},
]
# What the service makes up where the proxy gave no usable id.
_MADE_UP = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
PROXIES = {
    "envoy": (
        "{method} /envoy{target} HTTP/1.1\r\nhost: api.example.com\r\ncontent-length: 0\r\n{key}"
        "x-request-id: {number}\r\nx-extauth-client-ip: {address}\r\nx-envoy-internal: true\r\n\r\n"
    ),
    "nginx": (
        "HEAD /nginx HTTP/1.1\r\nHost: api.example.com\r\nX-Original-Method: {method}\r\n"
        "X-Original-URI: {target}\r\nX-Extauth-Client-Ip: {address}\r\nX-Request-Id: {number}\r\n{key}\r\n"
    ),
    "forward": (
        "GET /forward HTTP/1.1\r\nHost: 127.0.0.1:9000\r\nX-Forwarded-Method: {method}\r\n"
        "X-Forwarded-Uri: {target}\r\nX-Forwarded-Host: api.example.com\r\n{key}"
        "X-Extauth-Client-Ip: {address}\r\nX-Request-Id: {number}\r\n\r\n"
    ),
}


TRACED = f"X-API-Key: {{}}\r\nTraceparent: 00-{'a' * 32}-{'b' * 16}-01\r\n"


class Both:
    """One check behind two listeners: the first knows the forms of heads, the second parses all of them."""

    def __init__(self, pattern_after: int = PATTERN_AFTER, **sections: Any) -> None:
        # Nobody is banned, so that answers depend on the heads alone.
        sections = {"abuse": {"enabled": False}, **sections}
        self.rig = Rig(routes=ROUTES, tiers={"tight": {"rates": ["2/day"]}}, **sections)
        self.familiar = Listener()
        self.strange = Listener()
        self.responder = self._responder(learn_every=1, pattern_after=pattern_after)
        self.familiar.responder = self.responder
        self.strange.responder = self._responder(learn_every=10**9)
        self.key, _ = self.familiar.run(self.rig.issue(scopes=("v1:read",)))
        self.other_key, _ = self.familiar.run(self.rig.issue(user_id="user-2", tier="tight"))
        for key in (self.key, self.other_key):
            self.familiar.run(self.rig.ask("/v1/1", key=key))

    def _responder(self, **memory: int) -> Responder:
        responder = Responder(
            checker=self.rig.checker,
            dialects=self.rig.dialects,
            recorder=self.rig.recorder,
            clock=self.rig.clock,
            max_checks=self.rig.settings.throttle.max_checks,
        )
        responder.familiar = FamiliarHeads(**memory)
        return responder

    def head(self, proxy: str, **parts: str) -> bytes:
        """Return a check as that proxy asks it; `key` is the line that the key stands in."""
        usual = {
            "method": "GET",
            "target": "/v1/42",
            "key": f"X-API-Key: {self.key}\r\n",
            "number": "r-1",
            "address": "192.0.2.7",
        }
        return PROXIES[proxy].format(**{**usual, **parts}).encode("latin-1")

    def answers(self, listener: Listener, *reads: bytes) -> tuple[bytes, bool, list[bytes]]:
        """Return what is written to these reads, whether the connection ends, and what is logged."""
        self.rig.limits._states.clear()  # type: ignore[attr-defined]  # both begin with nothing spent
        self.rig.lines.taken.clear()
        connection = listener.connect()
        connection.send(*reads)
        self.rig.recorder.flush()
        lines = [_MADE_UP.sub(b"id", line) for line in self.rig.lines.taken]
        return _MADE_UP.sub(b"id", connection.transport.written), connection.ended, lines

    def assert_alike(self, *reads: bytes) -> bytes:
        """Return what both listeners answer to these reads, and log, to the byte."""
        familiar = self.answers(self.familiar, *reads)
        assert familiar == self.answers(self.strange, *reads)
        return familiar[0]

    def count_parsed(self, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
        """Return a list of the targets that are parsed from now on."""
        parsed: list[bytes] = []
        read = self.responder.read

        def noted(head: RequestHead) -> Question | Answer:
            parsed.append(head.target)
            return read(head)

        monkeypatch.setattr(self.responder, "read", noted)
        return parsed


@pytest.fixture(scope="module", params=[PATTERN_AFTER, 1], ids=["cut", "matched"])
def both(request: pytest.FixtureRequest) -> Iterator[Both]:
    """Give both listeners: where heads are cut, and where a pattern reads them from the second time on."""
    made = Both(request.param)
    with made.familiar, made.strange:
        yield made


@pytest.fixture(params=list(PROXIES))
def proxy(request: pytest.FixtureRequest) -> str:
    """Give one proxy after the other."""
    return str(request.param)


def test_only_the_first_head_of_a_form_is_parsed(
    both: Both, proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other targets, keys, addresses and ids are no reason to parse again."""
    parsed = both.count_parsed(monkeypatch)
    reads = [
        both.head(proxy),
        both.head(proxy, target="/v1/43?page=2"),
        both.head(proxy, key=f"X-API-Key: {both.other_key}\r\n", number="r-2", address="2001:db8::1"),
        both.head(proxy, key="X-API-Key: nonsense\r\n"),
    ]
    both.answers(both.familiar, *reads)
    assert len(parsed) == 1
    written = both.assert_alike(*reads)
    assert written.count(b"HTTP/1.1 ") == len(reads)


def test_the_trace_of_a_head_is_no_reason_to_parse_it(
    both: Both, proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy that traces sends another context each time; an empty line is the same each time."""
    line = f"X-API-Key: {both.key}\r\nTraceparent: {{}}\r\n"
    traces = [f"00-{number:032x}-{number:016x}-0{number % 2}" for number in range(1, 6)]
    heads = [both.head(proxy, key=line.format(trace)) for trace in traces]
    empty = both.head(proxy, key=line.format(""))
    both.answers(both.familiar, heads[0], empty)
    parsed = both.count_parsed(monkeypatch)
    connection = both.familiar.connect()
    connection.send(heads[0])
    both.rig.lines.taken.clear()
    connection.send(*heads)
    both.rig.recorder.flush()
    assert len(parsed) <= 1
    lines = [json.loads(line) for line in both.rig.lines.taken]
    assert [line["trace_id"] for line in lines[-5:]] == [trace[3:35] for trace in traces]
    for odd in ("x y", "a,b", traces[0].upper(), "é"):
        both.assert_alike(heads[0], both.head(proxy, key=line.format(odd)), empty, heads[1], empty)


@pytest.mark.parametrize(
    "line",
    [
        "Authorization: Bearer {}\r\n",
        "X-API-Key: {}\r\n",
        "Authorization: Bearer {}\r\nX-API-Key: {}\r\n",
        "Authorization: Basic {}\r\n",
        "authorization: bearer {}\r\n",
        "",
    ],
)
def test_each_way_of_sending_a_key_is_read_as_before(both: Both, proxy: str, line: str) -> None:
    """Wherever the key stands it is found there, and removed there; the forms are not mixed up."""
    both.answers(both.familiar, both.head(proxy, key=f"Authorization: Bearer {both.key}\r\n"))
    both.answers(both.familiar, both.head(proxy, key=f"X-API-Key: {both.key}\r\n"))
    heads = [
        both.head(proxy, key=line.format(key, second))
        for key in ("", both.key, both.other_key, both.key[:-1] + "_", "a,b", "a b")
        for second in (both.key, both.other_key)
    ]
    for before in heads:
        for head in heads:
            both.assert_alike(before, head, head)


@pytest.mark.parametrize(
    "target",
    [
        "/", "/v1/42?a=b", "/v1//42", "/v1/../42", "/v1/%2e%2e/42", "/v1/a;b", "/v1/é", "/v1/a b", "/v1/a\tb",
        "/v1/a#b", "/v1/42?a b", "/v1/42?é", "", "*", "http://other.example/v1/42", "/v1/42 HTTP/1.0",
        "/v1/42 HTTP/1.1\r\nx: y", "/" + "a" * 600, "?x", "//", "/open/x?api_key=k",
    ],
)  # fmt: skip
def test_unusual_targets_get_what_they_got(both: Both, proxy: str, target: str) -> None:
    """A familiar head around it changes nothing for a target that two parsers could read differently."""
    odd = both.head(proxy, target=target)
    both.assert_alike(both.head(proxy), both.head(proxy), odd, odd)


def test_a_head_behind_a_stray_byte_is_not_taken_for_a_new_one(both: Both) -> None:
    """What llhttp would refuse is refused: it is asked wherever a read may be the middle of something."""
    head = both.head("envoy")
    for before in (b"X", b"GET /envoy/x HTTP/1.1\r\nhost: a\r\n", b"\r\n", b"GE", head[:-1], head + b"G"):
        both.assert_alike(head, head, before, head, head)


def test_a_head_that_is_too_large_stays_so(both: Both, proxy: str) -> None:
    """A familiar form is no way around the bounds of a head, nor is a long id."""
    for odd in (
        both.head(proxy, key=f"X-API-Key: {'a' * 40_000}\r\n"),
        both.head(proxy, target="/v1/" + "a" * 40_000),
        both.head(proxy, number="r" * 200),
    ):
        both.assert_alike(both.head(proxy), both.head(proxy), odd, both.head(proxy))


@pytest.mark.parametrize(
    "line", ["cookie: a=b\r\n", "Proxy-Authorization: Basic eDp5\r\n", "Authorization: Basic eDp5\r\n"]
)
def test_no_secret_is_remembered(both: Both, proxy: str, line: str) -> None:
    """What is kept of a head holds no key, wherever it stands, and heads with other secrets are not kept."""
    key = both.key
    both.answers(
        both.familiar,
        both.head(proxy, key=f"Authorization: Bearer {key}\r\n"),
        both.head(proxy, key=f"X-API-Key: {key}\r\n"),
        both.head(proxy, key=f"Authorization: Bearer {key}\r\nX-API-Key: {key}\r\n"),
        both.head(proxy, key=f"X-API-Key: {key}\r\n{line}"),
        both.head(proxy, key=line),
    )
    known = both.responder.familiar
    assert known._skeletons
    patterns = [form._pattern[0].pattern for form in known._in_use if form._pattern is not None]
    kept = repr([(skeleton[1:], question) for skeleton, question in known._skeletons.items()] + patterns)
    assert key not in kept
    assert line.strip().lower() not in kept.lower()


@pytest.mark.parametrize("pattern_after", [PATTERN_AFTER, 1])
def test_a_key_in_the_query_is_still_found(pattern_after: int) -> None:
    """With query keys switched on a target with a query is looked at as closely as ever."""
    both = Both(pattern_after, credentials={"query_parameter": True})
    with both.familiar, both.strange:
        plain = both.head("envoy")
        for target in ("/v1/42", f"/v1/42?api_key={both.key}", f"/v1/42?api_key={both.other_key}"):
            for line in ("", f"X-API-Key: {both.key}\r\n"):
                head = both.head("envoy", target=target, key=line)
                both.assert_alike(plain, head, head, plain, head)


_PIECES = st.sampled_from(
    [
        b"\r\n", b"\n", b"\r", b" ", b"\t", b"\0", b",", b":", b"\xe9", b"x-request-id: r-9\r\n",
        b"content-length: 1\r\n", b"transfer-encoding: chunked\r\n", b"connection: close\r\n",
        b"cookie: a=b\r\n", b"host: other\r\n",
        b"x-extauth-client-ip: 10.0.0.1\r\n",
        b"traceparent: 00-1\r\n", b"traceparent: \r\n",
        b"authorization: Bearer x\r\n", b"X-API-Key: y\r\n", b"A", b"/",
    ]
)  # fmt: skip


def test_a_head_that_comes_often_is_not_cut_any_more(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pattern reads it, until another one comes as often; what was forgotten is parsed anew."""
    both, cut = Both(4), Form._cut
    cuts: list[bytes] = []

    def noted(form: Form, read: bytes) -> Any:
        cuts.append(read)
        return cut(form, read)

    monkeypatch.setattr(Form, "_cut", noted)
    head, other = both.head(proxy), both.head(proxy, method="DELETE")
    with both.familiar, both.strange:
        both.answers(both.familiar, other)
        parsed = both.count_parsed(monkeypatch)
        connection = both.familiar.connect()
        # The first is parsed, and cut to be learnt.
        connection.send(*[head] * 9)
        assert cuts == [other, *[head] * 5]
        connection.send(*[other] * 9, head)
        assert cuts == [other, *[head] * 5, *[other] * 4, head]
        both.responder.familiar.forget()
        connection.send(other)
        assert len(parsed) == 2


@settings(max_examples=600)
@given(
    proxy=st.sampled_from(list(PROXIES)),
    line=st.sampled_from(["Authorization: Bearer {}\r\n", "X-API-Key: {}\r\n", TRACED]),
    changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 6), _PIECES), max_size=3),
    times=st.integers(1, 2),
)
def test_whatever_is_changed_in_a_familiar_head_changes_the_same(
    both: Both, proxy: str, line: str, changes: list[tuple[float, int, bytes]], times: int
) -> None:
    """Bytes put into a head or taken out of it get the answer that they get from the parser."""
    head = changed = both.head(proxy, key=line.format(both.key))
    for where, removed, piece in changes:
        at = int(where * len(changed))
        changed = changed[:at] + piece + changed[at + removed :]
    both.assert_alike(head, changed * times, head)
