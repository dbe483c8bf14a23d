from __future__ import annotations

import asyncio
import ipaddress

import pytest

from extauth.completion.http import CompletionProtocol, Intake
from extauth.completion.inbox import Inbox
from extauth.completion.signals import Counters, Signal
from extauth.completion.sources import Sources
from extauth.server.connections import ConnectionLimits, Connections

from .test_datagrams import Taken
from .test_lines import export


async def _talk(sent: bytes, network: str = "127.0.0.0/8") -> tuple[bytes, Taken, Counters]:
    taken, counters = Taken(), Counters()
    intake = Intake(
        inbox=Inbox(taken, counters),
        connections=Connections(ConnectionLimits(), now=0.0),
        sources=Sources([ipaddress.ip_network(network)]),
        counters=counters,
        token=b"sesame",
    )
    server = await asyncio.get_running_loop().create_server(
        lambda: CompletionProtocol(intake), "127.0.0.1", 0
    )
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(sent)
        try:
            writer.write_eof()
            answer = await reader.read()
        except OSError:
            answer = b""  # the other end was quicker
        writer.close()
    return answer, taken, counters


def post(target: str, body: bytes, *lines: str, scheme: str = "Bearer sesame", method: str = "POST") -> bytes:
    """Return a request."""
    head = [f"{method} {target} HTTP/1.1", "host: x", f"authorization: {scheme}", *lines]
    if not any("chunked" in line for line in lines):
        head.append(f"content-length: {len(body)}")
    return "\r\n".join([*head, "", ""]).encode() + body


LOGS = "content-type: application/x-protobuf"


def test_pipelined_signals_are_taken_and_answered_in_order() -> None:
    """Bodies with length and in chunks, on one connection."""
    body = export(rid="a", lease="L", type="DownstreamEnd")
    chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    answers, taken, counters = asyncio.run(
        _talk(
            post("/v1/logs", chunked, LOGS, "transfer-encoding: chunked")
            + post("/done", b"b 200")
            + post("/v1/logs", body, LOGS)
        )
    )
    assert [part[:3] for part in answers.split(b"HTTP/1.1 ")[1:]] == [b"200", b"204", b"200"]
    assert [signal.request_id for signal in taken] == ["a", "b", "a"]
    assert (counters.otlp, counters.done) == (2, 1)
    assert taken[1] == Signal("b", "", progress=False)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (post("/done", b"a", scheme="Bearer wrong"), b"401"),
        (post("/other", b"a"), b"404"),
        (post("/done", b"", method="GET"), b"405"),
        (post("/done", b"a" * (1024 * 1024 + 1)), b"413"),
        (post("/v1/logs", b"{}", "content-type: application/json"), b"415"),
        (b"nonsense\r\n\r\n", b"400"),
    ],
)
def test_what_is_no_signal_is_refused(sent: bytes, status: bytes) -> None:
    """It frees nothing, and the connection ends with one answer."""
    answers, taken, _ = asyncio.run(_talk(sent[:4_000]))
    assert [part[:3] for part in answers.split(b"HTTP/1.1 ")[1:]] == [status]
    assert taken == []


def test_connections_from_elsewhere_are_closed_at_once() -> None:
    """Nothing is read from them, whatever token they have."""
    answers, taken, counters = asyncio.run(_talk(post("/done", b"a"), "10.0.0.0/8"))
    assert (answers, taken, counters.foreign) == (b"", [], 1)


async def _wait(sent: bytes, seconds: float) -> bytes:
    counters = Counters()
    connections = Connections(ConnectionLimits(), now=0.0)
    intake = Intake(
        inbox=Inbox(Taken(), counters),
        connections=connections,
        sources=Sources([ipaddress.ip_network("127.0.0.0/8")]),
        counters=counters,
    )
    server = await asyncio.get_running_loop().create_server(
        lambda: CompletionProtocol(intake), "127.0.0.1", 0
    )
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(post("/done", b"a") + sent)
        first = await reader.readuntil(b"\r\n\r\n")
        assert b" 204 " in first
        assert b"content-length" not in first
        connections.sweep(seconds, 0.0)
        answer = await asyncio.wait_for(reader.read(), 5)
        writer.close()
    return answer


def test_an_idle_connection_is_closed_without_a_word() -> None:
    """After the check listener's idle time-out, with nothing that could be taken for an answer."""
    assert asyncio.run(_wait(b"", 76)) == b""


def test_a_body_that_never_ends_is_timed_out() -> None:
    """It holds a connection as long as a slow head may, and is answered 408."""
    assert b" 408 " in asyncio.run(_wait(post("/done", b"a" * 100)[:-50], 12))
