"""Every decision is one JSON line with the promised fields, at the level of its outcome, and is counted."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from extauth.model import OUTCOMES, CheckRequest, Code, Decision, Outcome, Target
from extauth.telemetry.metrics import CheckCounts
from extauth.telemetry.recorder import LONGEST_PATH, Recorder
from tests.checking import Rig, request_for
from tests.dialects import PROXIES
from tests.fakes import FakeClock
from tests.keys import identified
from tests.logs import ListedLines

FIELDS = ["timestamp", "level", "event", "outcome", "code", "dialect", "method", "host", "path", "route"]
FIELDS += ["key_id", "user_id", "client_ip", "request_id", "duration_us"]
KEY = identified(user_id='user "1"')


class Log:
    """A recorder that writes into a list."""

    def __init__(self, **options: Any) -> None:
        self.clock = FakeClock()
        self.lines = ListedLines()
        self.counts = CheckCounts(["envoy", "nginx"])
        self.recorder = Recorder(counts=self.counts, lines=self.lines, clock=self.clock, **options)

    def line(
        self, decision: Decision, request: CheckRequest | None = None, *, took_us: int = 0
    ) -> dict[str, Any]:
        """Record one decision, and return its line."""
        (line,) = self.written(decision, request, took_us=took_us)
        assert line.endswith(b"}\n")
        assert line.count(b"\n") == 1
        parsed: dict[str, Any] = json.loads(line)
        return parsed

    def written(
        self, decision: Decision, request: CheckRequest | None = None, *, took_us: int = 0
    ) -> list[bytes]:
        """Record one decision, and return what was written."""
        self.lines.taken.clear()
        self.recorder.record(request or request_for(), decision, self.clock.now_us() - took_us)
        self.recorder.flush()
        return list(self.lines.taken)


def test_an_allowed_decision_has_all_fields() -> None:
    """In a fixed order, with the identity of whoever was let in."""
    log = Log()
    log.clock.advance(microseconds=123_456)
    target = Target("POST", "api.example.com:8443", '/v1/"orders"/42')
    request = CheckRequest("nginx", target, b"k", ("x-api-key",), "192.0.2.7", "r-9")
    line = log.line(Decision(Code.ALLOWED, KEY, KEY.key_id, 'orders "new"'), request, took_us=250)
    assert list(line) == FIELDS
    assert line == {
        "timestamp": "2026-03-01T12:00:00.123456Z",
        "level": "info",
        "event": "decision",
        "outcome": "allowed",
        "code": "allowed",
        "dialect": "nginx",
        "method": "POST",
        "host": "api.example.com:8443",
        "path": '/v1/"orders"/42',
        "route": 'orders "new"',
        "key_id": KEY.key_id,
        "user_id": 'user "1"',
        "client_ip": "192.0.2.7",
        "request_id": "r-9",
        "duration_us": 250,
    }


def test_a_refusal_says_why() -> None:
    """The reason that callers never see, the limits that were violated, the key that was sent, no user."""
    log = Log()
    invalid = log.line(Decision(Code.INVALID_KEY, presented_id="AAAAbbbb0001", route="r", reason="revoked"))
    assert list(invalid) == [*FIELDS, "reason"]
    assert (invalid["key_id"], invalid["user_id"], invalid["reason"]) == ("AAAAbbbb0001", "", "revoked")
    limited = log.line(Decision(Code.RATE_LIMITED, KEY, KEY.key_id, "r", violated=("per-second", "per-hour")))
    assert list(limited) == [*FIELDS, "violated"]
    assert (limited["violated"], limited["user_id"]) == (["per-second", "per-hour"], 'user "1"')


@pytest.mark.parametrize("code", Code)
def test_the_level_follows_the_outcome(code: Code) -> None:
    """Failed authentication and ambiguous requests are warnings; what is broken is an error."""
    expected = {
        Outcome.UNAUTHENTICATED: "warning",
        Outcome.AMBIGUOUS: "warning",
        Outcome.UNAVAILABLE: "error",
    }.get(OUTCOMES[code], "info")
    line = Log().line(Decision(code))
    assert (line["level"], line["code"], line["outcome"]) == (expected, code.value, OUTCOMES[code].value)


@pytest.mark.parametrize(
    ("level", "written"),
    [
        ("debug", {"info", "warning", "error"}),
        ("info", {"info", "warning", "error"}),
        ("warning", {"warning", "error"}),
        ("error", {"error"}),
    ],
)
def test_lines_below_the_level_are_not_written(level: str, written: set[str]) -> None:
    """They are counted all the same."""
    log = Log(level=level)
    lines = [json.loads(line) for code in Code for line in log.written(Decision(code))]
    assert {line["level"] for line in lines} == written
    assert log.counts.by_dialect["envoy"].decisions == dict.fromkeys(Code, 1)


def test_allowed_lines_are_sampled() -> None:
    """As many as were asked for, at random; refusals always get a line, and all are counted."""
    draws: Iterator[float] = iter([0.0, 0.24, 0.25, 0.9] * 10)
    log = Log(allowed_sample=0.25, draw=lambda: next(draws))
    lines = sum(len(log.written(Decision(Code.ALLOWED))) for _ in range(40))
    assert lines == 20
    assert all(log.written(Decision(code)) for code in Code if code is not Code.ALLOWED)
    assert log.counts.by_dialect["envoy"].decisions[Code.ALLOWED] == 40


@pytest.mark.parametrize(("sample", "lines"), [(0.0, 0), (1.0, 100)])
def test_none_or_all_allowed_lines(sample: float, lines: int) -> None:
    """The two ends leave nothing to chance."""
    log = Log(allowed_sample=sample)
    assert sum(len(log.written(Decision(Code.ALLOWED))) for _ in range(100)) == lines


def test_times_are_those_of_the_decisions() -> None:
    """Although many are written together later, each has its own, also when the clock jumps back."""
    log = Log()
    log.recorder.record(request_for(), Decision(Code.ALLOWED), log.clock.now_us())
    for seconds in (59, 1, -60):
        log.clock.advance(seconds=seconds, microseconds=1)
        log.recorder.record(request_for(), Decision(Code.ALLOWED), log.clock.now_us())
    log.clock.advance(seconds=3_600)
    log.recorder.flush()
    moments = [datetime.fromisoformat(json.loads(line)["timestamp"]) for line in log.lines.taken]
    assert [moment.strftime("%H:%M:%S.%f") for moment in moments] == [
        "12:00:00.000000",
        "12:00:59.000001",
        "12:01:00.000002",
        "12:00:00.000003",
    ]


def test_a_clock_that_jumps_back_makes_no_negative_duration() -> None:
    """Metrics and logs never hold what can't be."""
    log = Log()
    assert log.line(Decision(Code.ALLOWED), took_us=-5_000_000)["duration_us"] == 0
    assert log.counts.by_dialect["envoy"].duration_sum_us == 0


def test_a_long_path_is_cut() -> None:
    """A line stays short whatever the client sends."""
    line = Log().line(Decision(Code.ALLOWED), request_for("/" + "a" * 10_000))
    assert line["path"] == "/" + "a" * (LONGEST_PATH - 1)


@pytest.mark.parametrize("text", ['"}\n{"code":"allowed', "\r\n\x00\x1b[0m", "\\", "caf\xe9\xff", "\u2028"])
def test_what_clients_send_breaks_out_of_nothing(text: str) -> None:
    """No path, host, address or id forges a line or a field: it comes back as what it was."""
    target = Target("GET", text, "/" + text)
    line = Log().line(Decision(Code.ALLOWED), CheckRequest("envoy", target, None, (), text, text))
    assert (line["host"], line["path"], line["client_ip"], line["request_id"]) == (
        text,
        "/" + text,
        text,
        text,
    )
    assert list(line) == FIELDS


def test_the_query_is_never_logged() -> None:
    """Keys, tokens and what people search for stand there."""
    rig = Rig()
    for proxy in PROXIES.values():
        asyncio.run(rig.answer(proxy.ask(b"GET", b"/v1/x?api_key=secret&q=private", {b"host": b"h"})))
    rig.recorder.flush()
    rig.hasher.close()
    assert [json.loads(line)["path"] for line in rig.lines.taken] == ["/v1/x"] * len(PROXIES)
    assert b"private" not in b"".join(rig.lines.taken)


def test_decisions_are_counted_by_dialect_and_code() -> None:
    """Every one, once."""
    log = Log()
    nginx = request_for()._replace(dialect="nginx")
    for code in (Code.ALLOWED, Code.ALLOWED, Code.INVALID_KEY):
        log.written(Decision(code))
    log.written(Decision(Code.RATE_LIMITED), nginx)
    counted = {name: Counter(counts.decisions) for name, counts in log.counts.by_dialect.items()}
    assert +counted["envoy"] == Counter({Code.ALLOWED: 2, Code.INVALID_KEY: 1})
    assert +counted["nginx"] == Counter({Code.RATE_LIMITED: 1})
