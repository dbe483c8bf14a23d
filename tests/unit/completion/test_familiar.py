"""What is remembered about a proxy's signals gives what parsing them gives, or nothing."""

from __future__ import annotations

import asyncio
import base64
import socket
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from extauth.completion.familiar import FamiliarHead
from extauth.completion.otlp import OtlpReader, read_otlp
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


# As Envoy 1.40 sent two records: of a request with a lease, and of one whose client left before its check.
ENVOYS_BATCH = base64.b64decode(
    "CowDCgAShwMSiQIJkIrne4Vg7BgyLQoDcmlkEiYKJDU5MGEyNThlLWE1ZDMtNGMwNi04MDgyLTZmMjA3ZmY5ODY3ODKZAQoF"
    "bGVhc2USjwEKjAE1YzEzMDAxY2ZjODAtMi4xNzk1OTE2NDc3ODczLjYwMDAwLlpYaDBZWFYwYURwN1MxRjFSSE50ZG1KcFZF"
    "ZFRmVHB6Ykc5MGN6cGpiMjVqZFhKeVpXNWplUX5TMUYxUkhOdGRtSnBWRWRUQ21Oc2FXVnVkQzB4Q21SbFptRjFiSFFLWkdW"
    "bVlYVnNkQTIXCgR0eXBlEg8KDURvd25zdHJlYW1FbmQyDwoGc3RhdHVzEgUKAzUwMzIJCgJ1cxIDCgEtEnkJQG1agIVg7Bgy"
    "LQoDcmlkEiYKJDc1YTY0OTNmLWY0ODEtNDY5ZS1hOGQ4LWMxZDFkMDYwYTQ5NTIMCgVsZWFzZRIDCgEtMhcKBHR5cGUSDwoN"
    "RG93bnN0cmVhbUVuZDINCgZzdGF0dXMSAwoBMDIJCgJ1cxIDCgEt"
)

BATCHES = st.lists(st.lists(RECORDS, max_size=4), min_size=1, max_size=6)


def batch(records: Sequence[Mapping[str, str]], *, time: int = 1, resource: bool = True) -> bytes:
    """Return several records in one request, as Envoy sends them."""
    request = ExportLogsServiceRequest()
    logs = request.resource_logs.add()
    if resource:
        logs.resource.SetInParent()
    scope = logs.scope_logs.add()
    for number, attributes in enumerate(records):
        record = scope.log_records.add(time_unix_nano=time + number)
        for key, value in attributes.items():
            record.attributes.add(key=key).value.string_value = value
    return request.SerializeToString()


@given(BATCHES, st.booleans())
def test_bodies_are_read_as_their_schema_says(batches: list[list[dict[str, str]]], resource: bool) -> None:  # noqa: FBT001 - drawn
    """The whole schema and the part that is read here agree, and so does what is recalled of any record."""
    reader = OtlpReader()
    for number, records in enumerate(batches * 8):
        body = batch(records, time=number, resource=resource)
        expected = by_the_book(body)
        assert list(read_otlp(body)) == expected
        assert reader.recall(body) == expected


@given(BATCHES)
def test_records_of_other_shape_are_parsed(batches: list[list[dict[str, str]]]) -> None:
    """In several scopes or resources, or with something behind them, a body says the same."""
    reader = OtlpReader()
    for records in batches * 4:
        several = batch(records) + batch(records)
        assert reader.recall(several) is None
        request = ExportLogsServiceRequest.FromString(batch(records))
        scopes = request.resource_logs[0].scope_logs
        scopes[0].scope.name = "a"
        assert reader.recall(request.SerializeToString()) == by_the_book(request.SerializeToString())
        scopes[0].schema_url = "u"
        scopes.add().CopyFrom(scopes[0])
        for body in (request.SerializeToString(), several):
            recalled = reader.recall(body)
            assert recalled in (None, by_the_book(body))
            assert list(read_otlp(body)) == by_the_book(body)


END = {"rid": "r1", "lease": "L1", "type": "DownstreamEnd", "dur": "7"}


def learnt_from(*records: Mapping[str, str]) -> OtlpReader:
    """Return a reader that knows how records like these lie."""
    reader = OtlpReader()
    for record in records:
        for _ in range(8):
            reader.recall(batch([record]))
    reader.parsed = 0
    return reader


def test_records_of_one_proxy_are_recalled_in_batches_of_any_size() -> None:
    """After some were parsed others needn't be, whatever their ids, times and results: it would be slow."""
    reader = learnt_from(END)
    for size in (1, 2, 7, 300):
        records = [
            {**END, "rid": f"s{number % 10}", "lease": f"M{number % 10}", "dur": "8"}
            for number in range(size)
        ]
        expected = [Signal(record["rid"], record["lease"], progress=False) for record in records]
        assert reader.recall(batch(records, time=2**60)) == expected
    assert reader.parsed == 0


def test_a_strange_record_is_parsed_alone() -> None:
    """Those before and behind it are recalled all the same."""
    for other in (
        {"lease": "L"},
        {"type": "DownstreamXXX"},
        {"rid": "r\n"},
        {"rid": "é"},
        {"rid": "-", "x": ""},
    ):
        reader = learnt_from(END)
        records = [END, {**END, **other}, END]
        assert reader.recall(batch(records)) == by_the_book(batch(records))
        assert reader.parsed == 1


def test_a_body_of_very_many_strange_records_is_left_to_be_read_in_pieces() -> None:
    """A short one holds tens of thousands, and to parse them all at once would hold up checks."""
    reader = OtlpReader()
    for size, recalled in ((512, True), (513, False), (40_000, False)):
        body = batch([{}] * size, time=0)
        assert len(body) < 128 * 1024 or size == 40_000
        assert (reader.recall(body) is not None) == recalled
    assert reader.parsed <= 3 * 512


def test_a_body_that_is_torn_is_unreadable_as_a_whole() -> None:
    """As the decoder has it: no record of it counts, whichever is broken."""
    reader = learnt_from(END)
    body = batch([END, END])
    broken = body.replace(b"\x12\x02L1", b"\x12\x7fL1").replace(b"\n\x02L1", b"\n\x7fL1")
    torn = batch([END, {"rid": "r", "x\x00": ""}]).replace(b"x\x00", b"\xff\xff")
    for other in (torn, broken[:-1], body[:-1]):
        assert list(read_otlp(other)) == [Unread.UNREADABLE]
        assert reader.recall(other) in (None, [Unread.UNREADABLE])
    assert reader.recall(torn) == [Unread.UNREADABLE]


def test_what_the_upstream_did_is_recalled_too() -> None:
    """As Envoy tells it: behind id, lease and kind; a report without a status tells of nothing."""
    told = {"rid": "r", "lease": "L~w", "type": "DownstreamEnd", "status": "200", "us": "1234"}
    reader = learnt_from(told)
    other = {**told, "rid": "s", "status": "404", "us": "5678"}
    assert reader.recall(batch([other])) == [Signal("s", "L~w", False, 404, 5_678)]
    assert reader.recall(batch([{**told, "status": "000"}])) == [Signal("r", "L~w", False, 0, 0)]
    assert reader.parsed == 0


def test_a_hyphen_is_no_id_though_it_is_as_long() -> None:
    """Proxies write it where there is none: no lease, but also no request."""
    reader = learnt_from({"rid": "r", "lease": "L", "type": "DownstreamEnd"})
    read = reader.recall(batch([{"rid": "r", "lease": "-", "type": "DownstreamEnd"}]))
    assert read == [Signal("r", "", progress=False)]
    assert reader.parsed == 0
    read = reader.recall(batch([{"rid": "-", "lease": "L", "type": "DownstreamEnd"}]))
    assert read == [Unread.UNREADABLE]


def learnt_from_envoy() -> OtlpReader:
    """Return a reader that needs to parse nothing of the batch that Envoy sent."""
    reader = OtlpReader()
    while True:
        before = reader.parsed
        assert reader.recall(ENVOYS_BATCH) == by_the_book(ENVOYS_BATCH)
        if reader.parsed == before:
            return reader


def test_a_batch_of_envoy_with_any_other_byte_in_it_is_read_as_the_decoder_reads_it() -> None:
    """Each of its bytes is each other byte once: tags, lengths, values, whatever stands there."""
    reader = learnt_from_envoy()
    body = bytearray(ENVOYS_BATCH)
    for place, byte in enumerate(ENVOYS_BATCH):
        for other in range(256):
            body[place] = other
            changed = bytes(body)
            recalled = reader.recall(changed)
            assert recalled is None or recalled == list(read_otlp(changed)), (place, other)
        body[place] = byte


PLACES = st.integers(0, len(ENVOYS_BATCH))
EDITS = st.lists(
    st.tuples(PLACES, st.integers(0, 40), st.binary(max_size=4) | PLACES), min_size=1, max_size=3
)


@given(EDITS, st.binary(max_size=60))
def test_a_batch_of_envoy_that_was_cut_anyhow_is_read_as_the_decoder_reads_it(
    edits: list[tuple[int, int, bytes | int]], junk: bytes
) -> None:
    """Some bytes left out, others put in, parts of it repeated; or bytes of any kind."""
    reader = learnt_from_envoy()
    body = ENVOYS_BATCH
    for place, lost, patch in edits:
        put_in = patch if isinstance(patch, bytes) else ENVOYS_BATCH[patch:]
        body = body[:place] + put_in + body[place + lost :]
    for other in (body, junk):
        recalled = reader.recall(other)
        assert recalled is None or recalled == list(read_otlp(other))


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
