from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st

from . import malformed, traffic
from .client import Client
from .in_process import Listener
from .service import Service
from .wire import request

_CUTS = st.lists(st.floats(0, 1), max_size=6)
_FRAGMENTS = st.sampled_from(
    [
        *(
            b"GET ",
            b"POST ",
            b"CONNECT ",
            b"PRI * HTTP/2.0",
            b"/envoy/any",
            b"/nginx",
            b"*",
            b" ",
            b"?",
            b"#",
        ),
        *(b" HTTP/1.1", b" HTTP/1.0", b"\r\n", b"\r\n\r\n", b"\n", b"\r", b":", b": ", b";", b",", b"\t"),
        *(
            b"Host: a",
            b"Host",
            b"X-API-Key: a",
            b"Content-Length: ",
            b"5",
            b"0",
            b"Transfer-Encoding: chunked",
        ),
        *(b"5\r\nhello\r\n0\r\n\r\n", b"Connection: ", b"close", b"keep-alive", b"Upgrade", b"a" * 9_000),
        *(b"Expect: 100-continue", b"\x00", b"\xff", b"%00", b"%", b"..", b"//"),
    ]
)


@st.composite
def _damaged(draw: st.DrawFn) -> bytes:
    """Return a request with some of its bytes taken out, doubled or replaced."""
    data = bytearray(draw(st.sampled_from([request() * 2, *malformed.REQUESTS.values()])))
    for _ in range(draw(st.integers(1, 5))):
        position = draw(st.integers(0, len(data)))
        data[position : position + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(data)


_GARBAGE = st.one_of(
    st.binary(max_size=2_000), st.lists(_FRAGMENTS, max_size=30).map(b"".join), _damaged()
).filter(lambda data: b"HEAD" not in data)  # Its answers can't be told apart without knowing where it stood.


@settings(max_examples=300)
@given(data=_GARBAGE, cuts=_CUTS)
@example(data=b"", cuts=[])
@example(data=b"\r\n" * 5_000, cuts=[])
@example(data=bytes(range(256)) * 8, cuts=[0.5])
def test_garbage_breaks_nothing(service: Service, data: bytes, cuts: list[float]) -> None:
    """Arbitrary bytes never get a 5xx, never leave a connection hanging, and hurt no other client."""
    with Client(service.address) as client:
        for piece in traffic.pieces(data, cuts):
            client.send_what_is_taken(piece)
        client.send_end_if_open()
        answers = client.receive_until_end_or_reset()
    assert all(200 <= answer.status < 500 for answer in answers)
    service.assert_healthy()


@settings(max_examples=300)
@given(data=_GARBAGE, cuts=_CUTS)
def test_garbage_is_answered_alike_however_it_is_cut(data: bytes, cuts: list[float]) -> None:
    """What is a request does not depend on how its bytes come; no exception escapes, no connection stays."""
    crumbs = [
        data[start : start + 1 + len(data) // 3_000] for start in range(0, len(data), 1 + len(data) // 3_000)
    ]
    whole, *cut = [_outcome(reads) for reads in ([data], traffic.pieces(data, cuts), crumbs)]
    assert cut == [whole, whole]


def _outcome(reads: list[bytes]) -> tuple[list[int], bool]:
    """Return statuses, and whether the connection ended; a head that is bad and too large may be either."""
    with Listener() as listener:
        connection = listener.connect()
        connection.send(*reads)
        statuses = [400 if status == 431 else status for status in connection.statuses()]
        outcome = statuses, connection.ended
        listener.pass_time(100)
        assert connection.transport.lost
        assert len(listener.connections) == 0
    return outcome


def test_no_garbage_was_a_fault(service: Service) -> None:
    """Neither a stack trace in the log nor a count of faults is left of any test in this folder."""
    assert service.metric("extauth_faults_total") == 0
    assert {line["event"] for line in service.log_lines()} <= {
        "started",
        "stopped",
        "decision",
        "part_works",
        "store_opened",
    }
