"""What is remembered about a proxy's signals gives what parsing them gives, or nothing."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from extauth.completion.familiar import FamiliarHead
from extauth.completion.layouts import Layouts
from extauth.completion.otlp import OtlpReader
from extauth.completion.signals import Counters, Reading, Signal, Unread
from tests.sockets.in_process import Transport

from .talking import CHUNKED as TE
from .talking import LOGS, Talk, in_chunks, post
from .test_lines import export

KINDS = st.sampled_from(["DownstreamEnd", "DownstreamPeriodic", "DownstreamStart", ""])
# Few lengths, so that bodies often lie alike; some of these texts look like attributes themselves.
TEXTS = st.sampled_from(["-", "a", "b", "é", " ", "aa", "bb", "\n\x03rid", "2\r\n\x03rid\x12\x06\n\x04evil"])
STATUSES = st.sampled_from(["200", "503", "101", "0", "-", "é", "600", "20000"])
DURATIONS = st.sampled_from(["7", "8", "12", "-", "", "1.5", "9" * 15])
RECORDS = st.fixed_dictionaries(
    {"rid": TEXTS, "lease": TEXTS, "type": KINDS, "path": TEXTS},
    optional={"status": STATUSES | TEXTS, "us": DURATIONS, "body": TEXTS},
)


def by_the_book(body: bytes) -> list[Reading]:
    """Read a request with the schema of opentelemetry-proto."""
    readings: list[Reading] = []
    for resource in ExportLogsServiceRequest.FromString(body).resource_logs:
        for record in (record for scope in resource.scope_logs for record in scope.log_records):
            found = {each.key: each.value.string_value for each in record.attributes}
            kind, request_id, lease = found.get("type", ""), found.get("rid", ""), found.get("lease", "")
            lease = "" if lease == "-" else lease
            if kind not in {"DownstreamEnd", "DownstreamPeriodic"}:
                readings.append(Unread.IGNORED if kind else Unread.UNREADABLE)
            elif request_id in {"", "-"} or not all("!" <= each <= "~" for each in request_id + lease):
                readings.append(Unread.UNREADABLE)
            else:
                readings.append(Signal(request_id, lease, kind == "DownstreamPeriodic", *upstream(found)))
    return readings


def upstream(found: dict[str, str]) -> tuple[int, int]:
    """Return status and duration, if there is a status that HTTP has."""
    status, duration = found.get("status", ""), found.get("us", "")
    if status not in {"200", "503", "101"}:
        return 0, 0
    return int(status), {"7": 7, "8": 8, "12": 12, "1.5": 2}.get(duration, 0)


@given(st.lists(RECORDS, min_size=2, max_size=12))
def test_bodies_are_read_as_their_schema_says(records: list[dict[str, str]]) -> None:
    """The whole schema and the part that is read here agree, and so do parsing a body and recalling it."""
    reader, layouts = OtlpReader(), Layouts()
    for number, attributes in enumerate(records):
        body = export(number, **attributes)
        parsed = list(reader.read(body))
        assert parsed == by_the_book(body)
        recalled = layouts.recall(body)
        if recalled is not None:
            progress, values = recalled
            told = ("rid", "lease", "status", "us")[: len(values)]
            assert [value.decode() for value in values] == [attributes[name] for name in told]
            assert progress == (attributes["type"] == "DownstreamPeriodic")
        if isinstance(parsed[0], Signal):
            layouts.learn(body, progress=parsed[0].progress)


@given(st.lists(RECORDS, min_size=2, max_size=8))
def test_what_is_recalled_is_what_would_be_parsed(records: list[dict[str, str]]) -> None:
    """With whatever was learnt from the bodies before."""
    reader = OtlpReader()
    for number, attributes in enumerate(records * 8):
        body = export(number, **attributes)
        recalled = reader.recall(body)
        assert recalled is None or [recalled] == by_the_book(body)
        list(reader.read(body))


def test_signals_of_one_proxy_are_recalled() -> None:
    """After some were parsed others needn't be, whatever their ids, times and results: it would be slow."""
    reader = OtlpReader()
    for number in range(8):
        list(reader.read(export(number, rid=f"r{number}", lease="L0", type="DownstreamEnd", dur="7")))
    body = export(2**60, rid="r9", lease="L1", type="DownstreamEnd", dur="8")
    assert reader.recall(body) == Signal("r9", "L1", progress=False)
    for other in ({"lease": "L"}, {"type": "DownstreamXXX"}, {"rid": "r\n"}, {"rid": "é"}):
        changed = {"rid": "r9", "lease": "L1", "type": "DownstreamEnd", "dur": "8"} | other
        assert reader.recall(export(2**60, **changed)) is None


def test_what_the_upstream_did_is_recalled_too() -> None:
    """As Envoy tells it: behind id, lease and kind; a report without a status tells of nothing."""
    reader = OtlpReader()
    told = {"rid": "r", "lease": "L~w", "type": "DownstreamEnd", "status": "200", "us": "1234"}
    for _ in range(8):
        list(reader.read(export(1, **told)))
    other = export(2, **{**told, "rid": "s", "status": "404", "us": "5678"})
    assert reader.recall(other) == Signal("s", "L~w", False, 404, 5_678)
    nothing = export(2, **{**told, "status": "000"})
    assert reader.recall(nothing) == Signal("r", "L~w", False, 0, 0)


def test_a_hyphen_is_no_id_though_it_is_as_long() -> None:
    """Proxies write it where there is none: no lease, but also no request."""
    reader = OtlpReader()
    for _ in range(8):
        list(reader.read(export(1, rid="r", lease="L", type="DownstreamEnd")))
    assert reader.recall(export(1, rid="r", lease="-", type="DownstreamEnd")) == Signal(
        "r", "", progress=False
    )
    assert reader.recall(export(1, rid="-", lease="L", type="DownstreamEnd")) is None


@given(st.binary(max_size=60), st.integers(0, 60), st.binary(max_size=3))
def test_bytes_of_any_kind_are_parsed_as_before(junk: bytes, place: int, patch: bytes) -> None:
    """A body with other bytes somewhere is either read as its parser reads it, or not recalled."""
    reader = OtlpReader()
    body = export(1, rid="r1", lease="L1", type="DownstreamEnd", path="/x")
    for _ in range(8):
        list(reader.read(body))
    assert reader.recall(body) is not None
    for other in (junk, body[:place] + patch + body[place + len(patch) :]):
        recalled = reader.recall(other)
        assert recalled is None or [recalled] == list(reader.read(other))


HEAD = b"POST /v1/logs HTTP/1.1\r\nhost: a\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"
LONG = HEAD + b"content-length: 3\r\n\r\n"


def learnt(read: bytes, body: bytes) -> Any:
    """Learn a head."""
    familiar = FamiliarHead.learn(read, body, otlp=True)
    assert familiar is not None
    return familiar


def test_a_head_that_came_before_is_recalled() -> None:
    """With its next body, in a chunk or as long as the head says."""
    assert (
        learnt(CHUNKED + b"3\r\nabc\r\n0\r\n\r\n", b"abc").recall(CHUNKED + b"2\r\nde\r\n0\r\n\r\n") == b"de"
    )
    assert learnt(LONG + b"abc", b"abc").recall(LONG + b"\r\n\r") == b"\r\n\r"


@pytest.mark.parametrize(
    "rest",
    [
        b"3\r\nabc\r\n0\r\n\r\nPOST",  # a part of the next request
        b"3\r\nabc\r\n",  # not whole
        b"3\r\nabc\n\n0\r\n\r\n",
        b"3\r\nabc\r\n1\r\n\r\n",
        b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",  # two chunks
        b"3;a=b\r\nabc\r\n0\r\n\r\n",  # an extension
        b"3\r\nabc\r\n0\r\na: b\r\n\r\n",  # a trailer
        b"03\r\nabc\r\n0\r\n\r\n",
        b"+3\r\nabc\r\n0\r\n\r\n",
        b"4\r\nabc\r\n0\r\n\r\n",  # more than there is
        b"0\r\n\r\n",
        b"\r\n0\r\n\r\n",
        b"",
    ],
)
def test_what_else_follows_a_familiar_head_is_parsed(rest: bytes) -> None:
    """Only one chunk and the last one are read without llhttp."""
    familiar = learnt(CHUNKED + b"3\r\nabc\r\n0\r\n\r\n", b"abc")
    assert familiar.recall(CHUNKED + rest) is None
    assert learnt(LONG + b"abc", b"abc").recall(LONG + rest[:2]) is None


def test_other_heads_are_not_learnt() -> None:
    """Those that end lines otherwise, that have no body, or whose body llhttp found elsewhere."""
    for read, body in (
        (LONG.replace(b"host: a\r\n", b"host: a\n") + b"abc", b"abc"),
        (b"\r\n\r\n" + LONG + b"abc", b"abc"),
        (LONG + b"abc", b"ab"),
        (CHUNKED + b"0\r\n\r\n", b""),
        (CHUNKED.replace(b"a\r", b"a" * 5_000 + b"\r") + b"3\r\nabc\r\n0\r\n\r\n", b"abc"),
    ):
        assert FamiliarHead.learn(read, body, otlp=True) is None


class Local(Transport):
    """A transport of a connection from this machine."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Tell of the peer."""
        with socket.socket(socket.AF_INET) as like:
            return {"peername": ("127.0.0.1", 1), "socket": like}.get(name, default)


BODIES = [
    export(5, rid="r1", lease="L1", type="DownstreamEnd"),
    export(6, rid="r2", lease="L2", type="DownstreamEnd"),
    export(7, rid="r3", lease="-", type="DownstreamPeriodic"),
    b"r4 200",
]
REQUESTS = [
    *(post("/v1/logs", in_chunks(body), LOGS, TE) for body in BODIES),
    *(post("/v1/logs", body, LOGS) for body in BODIES),
    post("/v1/logs", in_chunks(BODIES[0][:9], BODIES[0][9:]), LOGS, TE),
    post("/done", b"abc"),
    post("/done", b"", "x-rid: r5"),
    post("/done", b"abc", "connection: close"),
    post("/done", b"abc", scheme="Bearer wrong"),
]
CHANGES = st.tuples(st.integers(0, 400), st.binary(max_size=2), st.integers(0, 2))


@given(st.lists(st.tuples(st.sampled_from(REQUESTS), st.none() | CHANGES, st.booleans()), max_size=12))
def test_nobody_can_tell_whether_a_head_was_familiar(
    reads: list[tuple[bytes, tuple[int, bytes, int] | None, bool]],
) -> None:
    """Whatever bytes are changed: answers and signals are those of a listener that parses all."""

    async def scenario(*, parses_all: bool) -> tuple[bytes, list[Signal], Counters]:
        talk = Talk()
        protocol = talk.connect()
        transport = Local(protocol, asyncio.get_running_loop())
        protocol.connection_made(transport)
        for request, change, repeated in reads:
            place, patch, lost = change or (0, b"", 0)
            for _ in range(1 + repeated):
                if parses_all:
                    protocol._familiar = None
                protocol.data_received(request[:place] + patch + request[place + lost :])
        talk.intake.inbox.finish()
        await asyncio.sleep(0)
        return transport.written, talk.taken, talk.counters

    assert asyncio.run(scenario(parses_all=False)) == asyncio.run(scenario(parses_all=True))
