"""Spans of checks: in the proxy's trace, where it says so, with what happened and never a key."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from extauth import __version__
from extauth.clock import SystemClock
from extauth.model import CheckRequest, Code, Decision, Target
from extauth.server.responder import Responder
from extauth.tasks import end
from extauth.telemetry.recorder import Recorder
from extauth.tracing import exporter as exporter_module
from extauth.tracing.context import read_context
from extauth.tracing.exporter import ROOM, SpanExporter
from extauth.tracing.spans import Checked
from tests.redis.server import RedisServer, running
from tests.tracing.collector import (
    NOT_SAMPLED,
    SAMPLED,
    SPAN_ID,
    TRACE_ID,
    Collector,
    Dripper,
    attributes_of,
    collecting,
)
from tests.waiting import eventually
from tests.world import open_world

PEPPER = "a pepper that all servers of these tests share"


@pytest.fixture
def collector() -> Iterator[Collector]:
    """Give a collector."""
    with collecting() as collector:
        yield collector


def asked(
    folder: Path, collector: Collector, *asks: dict[str, Any], **sections: Any
) -> tuple[list[int], Any]:
    """Ask once for each, as Envoy does; return statuses and key. All spans have come by then."""

    async def scenario() -> tuple[list[int], Any]:
        tracing = {"endpoint": collector.url}
        async with open_world(folder, clock=SystemClock(), tracing=tracing, **sections) as world:
            issued = await world.create_key()
            answers = [(await world.ask(**{"key": issued.text, **each})).status for each in asks]
            return answers, issued

    return asyncio.run(scenario())


def traced(header: str = SAMPLED, **asked: Any) -> dict[str, Any]:
    """Return what asks in a trace."""
    return {"headers": {"traceparent": header}, **asked}


def names(spans: Sequence[Span]) -> list[str]:
    """Return the names of spans."""
    return [span.name for span in spans]


def a_check(code: Code = Code.ALLOWED, began_us: int = 1, decided_us: int = 2) -> Checked:
    """Return a check of a trace that is recorded."""
    context = read_context(SAMPLED.encode())
    assert context is not None
    request = CheckRequest("envoy", Target("GET", "a.example", "/"), None, (), "", "r-1")
    return Checked(context, request, Decision(code), began_us, decided_us, [])


def test_the_first_check_of_a_key_shows_what_it_waited_for(tmp_path: Path, collector: Collector) -> None:
    """The record was read and argon2 compared, below the check, which is below the span that asked."""
    (status,), issued = asked(tmp_path, collector, traced(path="/v1/x"))
    assert status == 200
    spans = collector.of("extauth")
    check, *parts = spans
    assert (check.name, check.kind) == ("extauth.check", Span.SPAN_KIND_SERVER)
    assert {span.trace_id.hex() for span in spans} == {TRACE_ID}
    assert check.parent_span_id.hex() == SPAN_ID
    # The record is read again where the server learns meanwhile that the key is new.
    assert {*names(parts)} == {"extauth.argon2", "extauth.store"}
    assert names(parts).count("extauth.argon2") == 1
    for part in parts:
        assert part.parent_span_id == check.span_id
        assert check.start_time_unix_nano <= part.start_time_unix_nano <= part.end_time_unix_nano
        assert part.end_time_unix_nano <= check.end_time_unix_nano
    assert attributes_of(check) == {
        "http.request.method": "GET",
        "http.route": "default",
        "extauth.dialect": "envoy",
        "extauth.outcome": "allowed",
        "extauth.code": "allowed",
        "extauth.key_id": issued.record.key_id,
        "extauth.tier": "default",
    }
    assert len({span.span_id for span in spans}) == len(spans)
    (resource,) = collector.resources
    assert resource["service.version"] == __version__
    assert resource["service.instance.id"]


def test_a_check_that_waits_for_nothing_has_one_span(tmp_path: Path, collector: Collector) -> None:
    """The key was seen before, and the limits are in this process."""
    asked(tmp_path, collector, {}, traced(), traced())
    assert names(collector.of("extauth")) == ["extauth.check"] * 2


@pytest.mark.parametrize("header", [NOT_SAMPLED, "nonsense", "", f"{SAMPLED},{SAMPLED}"])
def test_the_proxy_decides_what_is_recorded(tmp_path: Path, collector: Collector, header: str) -> None:
    """Without its flag there is no span, with a warm key nor with a cold one."""
    statuses, _ = asked(tmp_path, collector, traced(header), traced(header), {})
    assert statuses == [200] * 3
    assert collector.spans == []


def test_refusals_say_why_and_faults_of_ours_are_errors(tmp_path: Path, collector: Collector) -> None:
    """A client's mistake is no error of the service."""
    routes = [{"path": "/v1/{id}", "name": "things", "scopes": ["v1:read"]}]
    asked(
        tmp_path,
        collector,
        traced(key="nonsense"),
        traced(path="/v1/1"),
        traced(),
        traced(),
        traced(method="BREW"),
        routes=routes,
        tiers={"default": {"rates": [{"rate": "1/hour", "name": "hourly"}]}},
        proxy={"methods": ["GET", "BREW"]},
    )
    checks = [span for span in collector.of("extauth") if span.name == "extauth.check"]
    told = [attributes_of(span) for span in checks]
    assert [one["extauth.code"] for one in told[:2]] == ["invalid_key", "insufficient_scope"]
    assert told[0]["extauth.reason"] == "malformed"
    assert told[1]["http.route"] == "things"
    assert told[3]["extauth.violated"] == ["hourly"]
    assert told[4]["http.request.method"] == "_OTHER"
    assert {span.status.code for span in checks} == {Status.STATUS_CODE_UNSET}


def test_a_check_that_could_not_be_made_is_an_error(collector: Collector) -> None:
    """By its code."""

    async def scenario() -> None:
        exporter = SpanExporter(collector.url, "extauth")
        exporter.put(a_check(Code.STORE_UNAVAILABLE, began_us=5, decided_us=4))
        await exporter.close()

    asyncio.run(scenario())
    ((_, span),) = collector.spans
    assert span.status.code == Status.STATUS_CODE_ERROR
    assert attributes_of(span)["error.type"] == "store_unavailable"
    # The clock went back meanwhile.
    assert span.start_time_unix_nano == span.end_time_unix_nano == 5_000


def test_each_question_to_redis_is_a_span(tmp_path: Path, collector: Collector) -> None:
    """Of a key that was seen before Redis alone is asked."""
    with running(RedisServer(tmp_path / "redis")) as server:
        statuses, _ = asked(
            tmp_path,
            collector,
            traced(),
            traced(),
            store={"url": server.url, "timeout": "5s"},
            failure={"deadline": "5s"},
            keys={"peppers": [PEPPER]},
        )
    assert statuses == [200, 200]
    first, second = _by_check(collector.of("extauth"))
    # For the record, then for the limits.
    assert {*first} == {"extauth.store", "extauth.argon2"}
    assert first.count("extauth.store") >= 2
    assert second == ["extauth.store"]
    kinds = {span.kind for span in collector.of("extauth") if span.name == "extauth.store"}
    assert kinds == {Span.SPAN_KIND_CLIENT}


def test_a_wait_for_a_slot_is_a_span(tmp_path: Path, collector: Collector) -> None:
    """Without Redis: another request of the key is in flight, and nobody reports its end."""
    limits = {"rates": ["100/second"], "concurrency": {"max": 1}}
    statuses, _ = asked(tmp_path, collector, {}, traced(), tiers={"default": limits})
    assert statuses == [200, 429]
    (parts,) = _by_check(collector.of("extauth"))
    # The record is read again before, where the server notices only after the first check that it was made.
    assert parts in (["extauth.slot"], ["extauth.store", "extauth.slot"])


def _by_check(spans: Sequence[Span]) -> list[list[str]]:
    checks = [span for span in spans if span.name == "extauth.check"]
    return [[span.name for span in spans if span.parent_span_id == check.span_id] for check in checks]


def test_no_key_path_host_user_or_address_is_sent(tmp_path: Path, collector: Collector) -> None:
    """In no form."""
    path = "/v1/somewhere/particular"
    _, issued = asked(tmp_path, collector, traced(path=path), traced(key="xa_live_wrong"))
    sent = b"".join(collector.bodies)
    assert issued.record.key_id.encode() in sent
    secret = issued.text.rsplit("_", 1)[1]
    for what in (issued.text, secret, path, "api.example.com", "user-1", "192.0.2.7", "xa_live_wrong"):
        assert what.encode() not in sent


def test_a_log_line_names_the_trace(tmp_path: Path) -> None:
    """Also where no traces are sent, and where this one is not recorded."""

    async def scenario() -> list[dict[str, Any]]:
        async with open_world(tmp_path) as world:
            for header in (SAMPLED, NOT_SAMPLED, "nonsense"):
                await world.ask(headers={"traceparent": header})
            world.app.recorder.flush()
            return [line for line in await world.logged() if line["event"] == "decision"]

    lines = asyncio.run(scenario())
    assert [line.get("trace_id") for line in lines] == [TRACE_ID, TRACE_ID, None]


def test_off_costs_nothing(tmp_path: Path) -> None:
    """The plain classes answer and record, and what belongs to traces isn't even loaded."""

    async def scenario() -> None:
        async with open_world(tmp_path) as world:
            assert type(world.app.responder) is Responder
            assert type(world.app.recorder) is Recorder

    asyncio.run(scenario())
    program = "import sys, extauth.server.run, extauth.server.worker; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = {name for name in done.stdout.split() if name.startswith("extauth.tracing.")}
    assert loaded == {"extauth.tracing.context", "extauth.tracing.opening"}


def test_a_collector_that_hangs_holds_up_no_check(tmp_path: Path, collector: Collector) -> None:
    """Answers come as ever; what finds no room is dropped and counted, and the server ends all the same."""
    collector.flows.clear()

    async def scenario() -> tuple[int, dict[str, int]]:
        async with open_world(tmp_path, tracing={"endpoint": collector.url}) as world:
            issued = await world.create_key()
            answered = 0
            for _ in range(ROOM + 100):
                answer = await world.ask(key=issued.text, headers={"traceparent": SAMPLED})
                answered += answer.status in {200, 429}
            counted = world.app.traced
        return answered, dict(counted)

    answered, counted = asyncio.run(scenario())
    assert answered == ROOM + 100
    assert counted["sent"] == 0
    assert counted["full"] > 0
    assert sum(counted.values()) == ROOM + 100


def test_a_collector_that_refuses_or_is_gone_is_counted(collector: Collector) -> None:
    """Nothing is repeated: what comes next has its room."""

    async def send(exporter: SpanExporter) -> None:
        exporter.put(a_check())
        await exporter.close()

    exporter = SpanExporter(collector.url, "extauth")
    collector.status = 503
    asyncio.run(send(exporter))
    collector.status = 200
    asyncio.run(send(exporter))
    assert exporter.checks == {"sent": 1, "full": 0, "failed": 1}
    gone = SpanExporter("http://127.0.0.1:1/v1/traces", "extauth")
    asyncio.run(send(gone))
    assert gone.checks == {"sent": 0, "full": 0, "failed": 1}


def test_a_collector_that_drips_its_answer_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """However regularly something comes: connecting, sending and the answer together have one deadline."""
    monkeypatch.setattr(exporter_module, "EVERY_SECONDS", 0)
    monkeypatch.setattr(exporter_module, "_PATIENCE_SECONDS", 0.2)

    async def scenario(dripper: Dripper) -> None:
        exporter = SpanExporter(dripper.url, "extauth")
        exporter.put(a_check())
        running_on = asyncio.create_task(exporter.run())
        try:
            await eventually(lambda: exporter.checks["failed"] == 1)
            # The thread that waited for it has ended too.
            await eventually(dripper.left.is_set)
        finally:
            await end(running_on)

    with contextlib.closing(Dripper()) as dripper:
        asyncio.run(scenario(dripper))
