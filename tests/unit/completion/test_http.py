from __future__ import annotations

import asyncio
import socket
import tempfile
from pathlib import Path

import pytest

from extauth.completion.signals import Counters, Signal
from tests.waiting import eventually

from .talking import (
    CHUNKED,
    LOGS,
    PATIENCE,
    Peer,
    Taken,
    Talk,
    answer_to,
    in_chunks,
    post,
    rest_of,
    talking,
)
from .test_lines import export


async def _talk(sent: bytes, network: str = "127.0.0.0/8") -> tuple[bytes, Taken, Counters]:
    async with talking(network=network) as talk:
        reader, writer = await talk.call()
        writer.write(sent)
        try:
            writer.write_eof()
            answer = await reader.read()
        except OSError:
            answer = b""  # the other end was quicker
        writer.close()
    return answer, talk.taken, talk.counters


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
    async with talking() as talk:
        peer = await talk.call()
        first = await answer_to(peer, post("/done", b"a") + sent)
        assert b" 204 " in first
        assert b"content-length" not in first
        talk.connections.sweep(seconds, 0.0)
        answer = await rest_of(peer)
        peer[1].close()
    return answer


def test_an_idle_connection_is_closed_without_a_word() -> None:
    """After the check listener's idle time-out, with nothing that could be taken for an answer."""
    assert asyncio.run(_wait(b"", 76)) == b""


def test_a_body_that_never_ends_is_timed_out() -> None:
    """It holds a connection as long as a slow head may, and is answered 408."""
    assert b" 408 " in asyncio.run(_wait(post("/done", b"a" * 100)[:-50], 12))


def test_a_familiar_request_is_answered_like_the_first() -> None:
    """The second of a connection isn't parsed, which nobody can see; other ones in between are."""

    async def scenario() -> None:
        async with talking() as talk:
            peer = await talk.call()
            answers = []
            for name in ("a", "b", "c"):
                body = in_chunks(export(rid=name, lease="L", type="DownstreamEnd"))
                answers.append(await answer_to(peer, post("/v1/logs", body, LOGS, CHUNKED)))
                assert b" 204 " in await answer_to(peer, post("/done", b"between"))
            assert answers[0].startswith(b"HTTP/1.1 200 OK\r\n")
            assert answers == answers[:1] * 3
            split = post("/v1/logs", in_chunks(export(rid="d", type="DownstreamEnd")), LOGS, CHUNKED)
            peer[1].write(split[:-40])
            await eventually(lambda: talk.protocols[0]._in_message)
            assert await answer_to(peer, split[-40:]) == answers[0]
            await eventually(lambda: len(talk.taken) == 7)
            names = [signal.request_id for signal in talk.taken]
            assert names == ["a", "between", "b", "between", "c", "between", "d"]
            peer[1].close()

    asyncio.run(scenario())


def test_a_familiar_head_keeps_its_promises() -> None:
    """What was not asked for under one head isn't taken under it: another token, another length, the end."""

    async def scenario() -> None:
        async with talking() as talk:
            peer = await talk.call()
            for _ in range(2):
                assert b" 204 " in await answer_to(peer, post("/done", b"abc"))
            answers = await answer_to(peer, post("/done", b"abc", scheme="Bearer sesamE"))
            assert b" 401 " in answers
            other = await talk.call()
            for _ in range(2):
                assert b" 204 " in await answer_to(other, post("/done", b"abc"))
            last = await answer_to(other, post("/done", b"abc", "connection: close"))
            assert b"connection: close" in last
            assert await rest_of(other) == b""
            for _, writer in (peer, other):
                writer.close()

    asyncio.run(scenario())


def test_a_familiar_request_in_a_body_is_a_body() -> None:
    """Also where a read holds it alone: what a client of the proxy may have chosen is no request."""

    async def scenario() -> None:
        async with talking() as talk:
            peer = await talk.call()
            familiar = post("/done", b"abc")
            for _ in range(2):
                assert b" 204 " in await answer_to(peer, familiar)
            await eventually(lambda: len(talk.taken) == 2)
            (protocol,) = talk.protocols
            outer = post("/done", b"outer\n" + familiar)
            protocol.data_received(outer[: -len(familiar)])
            protocol.data_received(familiar)
            await eventually(lambda: len(talk.taken) > 2)
            names = [signal.request_id for signal in talk.taken[2:]]
            assert names[0] == "outer"
            assert "POST" in names
            peer[1].write_eof()
            assert (await rest_of(peer)).count(b"HTTP/1.1 204") == 1
            peer[1].close()

    asyncio.run(scenario())


def test_http_1_0_stays_open_if_it_asks_for_that() -> None:
    """Each time with the word that it waits for (RFC 9112 section 9.3)."""

    async def scenario() -> None:
        async with talking() as talk:
            peer = await talk.call()
            old = post("/done", b"abc", "connection: keep-alive").replace(b"HTTP/1.1", b"HTTP/1.0")
            for _ in range(3):
                assert b"connection: keep-alive" in await answer_to(peer, old)
            peer[1].close()

    asyncio.run(scenario())


def test_trailers_mean_nothing() -> None:
    """Neither a token nor an id is taken from behind a body, and the next request begins behind it."""
    trailer = b"authorization: Bearer sesame\r\nx-request-id: evil\r\n"
    good = post("/done", in_chunks(b"a", b"b", trailer=trailer), CHUNKED) + post("/done", b"c")
    answers, taken, _ = asyncio.run(_talk(good))
    assert answers.count(b"HTTP/1.1 204") == 2
    assert [signal.request_id for signal in taken] == ["ab", "c"]
    empty = post("/done", in_chunks(trailer=trailer), CHUNKED)
    _, taken, counters = asyncio.run(_talk(empty))
    assert (taken, counters.unreadable) == ([], 1)
    bare = post("/done", in_chunks(b"a", trailer=trailer), CHUNKED, scheme="Bearer wrong")
    answers, taken, _ = asyncio.run(_talk(bare))
    assert (b" 401 " in answers, taken) == (True, [])


def test_who_waits_to_send_is_asked_to_go_on() -> None:
    """Who expects 100 gets it before its body is sent; one of HTTP/1.0 never does (RFC 9110, 10.1.1)."""

    async def scenario() -> None:
        async with talking() as talk:
            peer = await talk.call()
            request = post("/done", b"a", "expect: 100-continue")
            assert await answer_to(peer, request[:-1]) == b"HTTP/1.1 100 Continue\r\n\r\n"
            assert b" 204 " in await answer_to(peer, request[-1:])
            assert b" 204 " in await answer_to(peer, request.replace(b"HTTP/1.1", b"HTTP/1.0"))
            refused = await talk.call()
            wrong = post("/done", b"a", "expect: 100-continue", scheme="Bearer wrong")
            assert b" 401 " in await answer_to(refused, wrong[:-1])
            for _, writer in (peer, refused):
                writer.close()

    asyncio.run(scenario())


def test_a_chunked_body_has_the_same_limit() -> None:
    """413 as soon as it is larger, whether in large chunks or in tiny ones, and nothing of it is taken."""

    async def scenario(*chunks: bytes) -> None:
        async with talking() as talk:
            reader, writer = await talk.call()
            writer.write(post("/done", b"", CHUNKED))
            for chunk in chunks:
                writer.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            assert b" 413 " in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)
            assert talk.taken == []
            assert talk.connections.refused["413"] == 1
            writer.close()

    asyncio.run(scenario(*[b"a" * 65_536] * 17))
    asyncio.run(scenario(*[b"a" * 64] * (1024 * 1024 // 64 + 1)))


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["x-request-id: r1"], Signal("r1", "", progress=False)),
        (["X-Rid: r2"], Signal("r2", "", progress=False)),
        (["x-rid: r3", "x-extauth-lease: L3"], Signal("r3", "L3", progress=False)),
        (["x-rid: two words"], None),
        (["x-rid: r lease=evil"], None),
        (["x-rid: r", "x-extauth-lease: a b"], None),
        (["x-extauth-lease: L"], None),
        ([], None),
    ],
)
def test_a_report_without_a_body_names_the_request_in_its_head(
    lines: list[str], expected: Signal | None
) -> None:
    """As plugins of Traefik send it; each time anew, and with a body the head is not asked."""
    sent = post("/done", b"", *lines)
    answers, taken, counters = asyncio.run(_talk(sent * 2 + post("/done", b"other", *lines)))
    assert answers.count(b" 204 ") == 3
    other = Signal("other", "", progress=False)
    assert taken == ([other] if expected is None else [expected, expected, other])
    assert counters.unreadable == (2 if expected is None else 0)


async def call_deaf(talk: Talk) -> Peer:
    """Connect, and read nothing; the kernel keeps little of what is sent, instead of 100,000 answers."""
    peer = await talk.call()
    await eventually(lambda: len(talk.connections) == 1)
    transport, other = peer[1].transport, talk.protocols[0]._transport
    transport.pause_reading()  # type: ignore[attr-defined]  # it is one of a socket
    assert other is not None
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    other.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
    return peer


def test_a_deaf_client_is_held_up_and_cut_off() -> None:
    """Who never reads its answers isn't read any more, costs no more than that, and is gone in time."""

    async def scenario() -> None:
        async with talking() as talk:
            _, writer = await call_deaf(talk)
            some = post("/done", b"a") * 1_000
            (protocol,) = talk.protocols
            for _ in range(2_000):
                writer.write(some)
                await asyncio.sleep(0)
                if protocol._deaf:
                    break
            await eventually(lambda: protocol._deaf)
            talk.intake.inbox.finish()
            taken = len(talk.taken)
            writer.write(some)
            other = await talk.call()
            for _ in range(20):
                assert b" 204 " in await answer_to(other, post("/done", b"b"))
            other[1].close()
            talk.intake.inbox.finish()
            taken += 20
            assert len(talk.taken) == taken
            await eventually(lambda: len(talk.connections) == 1)
            talk.connections.sweep(9.0, 0.0)
            assert len(talk.connections) == 1
            talk.connections.sweep(11.0, 0.0)
            await eventually(lambda: len(talk.connections) == 0)
            assert len(talk.taken) == taken
            writer.close()

    asyncio.run(scenario())


def test_a_client_that_reads_again_loses_nothing() -> None:
    """All its requests are answered and taken, in their order."""

    async def scenario() -> None:
        async with talking() as talk:
            reader, writer = await call_deaf(talk)
            (protocol,) = talk.protocols
            sent = 0
            while not protocol._deaf:
                writer.write(b"".join(post("/done", b"%d" % number) for number in range(sent, sent + 1_000)))
                sent += 1_000
                await asyncio.sleep(0)
            writer.transport.resume_reading()  # type: ignore[attr-defined]  # it is one of a socket
            for _ in range(sent):
                assert b" 204 " in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)
            await eventually(lambda: len(talk.taken) == sent)
            assert [int(signal.request_id) for signal in talk.taken] == list(range(sent))
            writer.close()

    asyncio.run(scenario())


def test_ipv6_and_unix_sockets() -> None:
    """Sources are looked at by address, and who reaches a unix socket is admitted."""

    async def scenario(folder: Path) -> None:
        for where, network, admitted in (
            ("::1", "::1/128", True),
            ("::1", "127.0.0.0/8", False),
            (folder / "signals", "10.0.0.0/8", True),
        ):
            async with talking(where, network=network) as talk:
                peer = await talk.call()
                peer[1].write(post("/done", b"a"))
                if admitted:
                    assert b" 204 " in await answer_to(peer, post("/done", b"b"))
                else:
                    await eventually(lambda talk=talk: talk.counters.foreign == 1)  # type: ignore[misc]
                await eventually(lambda talk=talk, n=2 * admitted: len(talk.taken) == n)  # type: ignore[misc]
                peer[1].close()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(scenario(Path(folder)))


def test_what_was_answered_is_taken_before_the_end() -> None:
    """Closing works off all bodies, however many signals are in them, and ends the connections."""

    async def scenario() -> None:
        async with talking() as talk:
            peers = [await talk.call() for _ in range(3)]
            await eventually(lambda: len(talk.connections) == 3)
            lines = b"\n".join(b"%d" % number for number in range(5_000))
            for protocol in talk.protocols:
                protocol.data_received(post("/done", lines))
            assert talk.taken == []
            talk.intake.close()
            assert len(talk.taken) == 15_000
            for peer in peers:
                assert (await rest_of(peer)).startswith(b"HTTP/1.1 204 ")
                peer[1].close()
            late = await talk.call()
            late[1].write(post("/done", b"late"))
            assert await rest_of(late) == b""
            assert len(talk.taken) == 15_000
            late[1].close()

    asyncio.run(scenario())
