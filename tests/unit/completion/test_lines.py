from __future__ import annotations

import base64
import ipaddress

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from extauth.completion.lines import read_done, read_fields, read_json, read_line
from extauth.completion.otlp import OtlpReader, read_otlp
from extauth.completion.signals import Signal, Unread
from extauth.completion.sources import Sources
from extauth.stores.redis import layout
from extauth.stores.redis.limits import tokens

IDS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=128).filter(
    lambda text: text != "-"
)


@given(st.binary())
def test_no_bytes_raise(data: bytes) -> None:
    """Whatever comes, it is a signal or counted as none."""
    readings = [read_line(data), read_json(data), *read_done(data), *read_otlp(data)]
    assert all(isinstance(reading, Signal | Unread) for reading in readings)


@given(IDS, IDS)
def test_what_was_put_in_is_found(request_id: str, lease: str) -> None:
    """Request id and lease are read from the lines of nginx and HAProxy as they were written."""
    rest = f"rid={request_id} lease={lease} st=499"
    expected = Signal(request_id, lease, progress=False)
    assert read_line(f"<190>Nov 22 13:08:57 extauth: {rest}".encode()) == expected
    assert read_line(f"extauth {rest}\n".encode()) == expected
    assert list(read_done(f"{rest}\r\n".encode())) == [expected]


NGINX = b"<190>Nov 22 13:08:57 extauth: rid=8f14e45f lease=a-1.2.3.b~c status=200 seconds=0.012"
PLACES = st.integers(0, len(NGINX))
EDITS = st.lists(st.tuples(PLACES, st.integers(0, 9), st.binary(max_size=3) | PLACES), max_size=3)


@given(EDITS)
def test_a_line_of_nginx_is_read_like_any_other(edits: list[tuple[int, int, bytes | int]]) -> None:
    """Whether it is the usual line, or some of it was left out, put in or repeated."""
    line = NGINX
    for place, lost, patch in edits:
        line = line[:place] + (patch if isinstance(patch, bytes) else NGINX[patch:]) + line[place + lost :]
    assert read_line(line) == read_fields(line)


@given(bases=st.lists(st.sampled_from(["concurrency", "route:" + "x" * 400]), min_size=1, max_size=3))
def test_any_lease_that_is_given_out_can_be_reported(bases: list[str]) -> None:
    """However many limits it has slots of, and however these are called: in each form, parsed or recalled."""
    slots = [layout.slots_of("user:" + "u" * 128, base) for base in bases]
    places = base64.urlsafe_b64encode("\n".join(slots).encode()).decode().rstrip("=")
    lease = f"{'0' * 12}-{2**40:x}.{10**13}.{10**9}.{places}"
    assert tokens.decode(lease) is not None
    expected = Signal("r", lease, progress=False)
    assert read_line(f"rid=r lease={lease}".encode()) == expected
    assert read_json(f'{{"uuid":"r","lease":"{lease}"}}'.encode()) == expected
    reader, body = OtlpReader(), export(rid="r", lease=lease, type="DownstreamEnd")
    assert list(read_otlp(body)) == [expected]
    for _ in range(16):
        assert reader.recall(body) == [expected]
    assert reader.parsed < 16


def test_lines_without_an_id_are_no_signals() -> None:
    """HAProxy's alerts are ignored; an id that is missing, too long or not ASCII is unreadable."""
    assert read_line(b"[alert] Lua: something") is Unread.IGNORED
    for line in (b"", b"rid= lease=L", b"rid=- x", b"rid=" + b"a" * 129, b"rid=\xff", b"rid=a lease=\xff"):
        assert read_line(line) is Unread.UNREADABLE


def test_caddy_and_done_need_no_lease() -> None:
    """The request id alone is enough."""
    assert read_json(b'{"status":499,"uuid":"183eca85"}\n') == Signal(
        "183eca85", "", progress=False, status=499
    )
    assert list(read_done(b"a 200\n\nb\n")) == [Signal(name, "", progress=False) for name in "ab"]
    assert list(read_done(b"")) == [Unread.UNREADABLE]


def export(time: int = 0, /, **attributes: str) -> bytes:
    """Return a log record as Envoy sends it."""
    request = ExportLogsServiceRequest()
    record = request.resource_logs.add().scope_logs.add().log_records.add(time_unix_nano=time)
    for key, value in attributes.items():
        record.attributes.add(key=key).value.string_value = value
    return request.SerializeToString()


def test_only_the_end_of_a_request_frees() -> None:
    """Periodic records renew, the start and a record of unknown kind do nothing; `-` is no lease."""
    assert list(read_otlp(export(rid="r", lease="-", type="DownstreamEnd"))) == [
        Signal("r", "", progress=False)
    ]
    assert list(read_otlp(export(rid="r", lease="L", type="DownstreamPeriodic"))) == [
        Signal("r", "L", progress=True)
    ]
    assert list(read_otlp(export(rid="r", type="DownstreamStart"))) == [Unread.IGNORED]
    assert list(read_otlp(export(rid="r"))) == [Unread.UNREADABLE]


def test_mapped_addresses_are_ipv4() -> None:
    """A network is meant whichever socket its hosts come to; others aren't admitted, unix sockets are."""
    sources = Sources([ipaddress.ip_network("10.0.0.0/8")])
    assert sources.admits(("::ffff:10.1.2.3", 1, 0, 0), unix=False)
    assert not sources.admits(("::ffff:11.1.2.3", 1, 0, 0), unix=False)
    assert not sources.admits(None, unix=False)
    assert sources.admits("", unix=True)


def test_what_the_upstream_did_is_read_where_it_is_told() -> None:
    """By nginx and Caddy in seconds; of several attempts, or none, nothing is told."""
    lines = {
        b"rid=r lease=L status=200 seconds=0.012": (200, 12_000),
        b"rid=r lease=L status=404 seconds=-": (404, 0),
        b"rid=r lease=L status=- seconds=-": (0, 0),
        b"rid=r lease=L status=502, 200 seconds=0.001, 0.002": (0, 0),
        b"rid=r lease=L status=200 seconds=" + b"9" * 20: (200, 0),
        b"rid=r lease=L seconds=0.012": (0, 0),
    }
    for line, upstream in lines.items():
        assert read_line(line) == Signal("r", "L", False, *upstream)
    entry = b'{"status":200,"uuid":"r","lease":"L","duration":0.000417}'
    assert read_json(entry) == Signal("r", "L", False, 200, 417)
    assert read_json(b'{"status":"x","uuid":"r","duration":{}}') == Signal("r", "", progress=False)
