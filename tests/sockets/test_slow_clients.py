from __future__ import annotations

from extauth.server.connections import ConnectionLimits

from .client import Client, many
from .in_process import SLOW, Listener
from .service import Service
from .wire import request

_LIMITS = ConnectionLimits()
_HALF_A_HEAD = b"GET /envoy/any HTTP/1.1\r\nHost: api.exa"
# The sweep looks once a second; what is to be over by then is looked at one second later.
_SWEEP = 1.0


def test_a_head_that_never_ends_is_answered_408(impatient: Service) -> None:
    """Half a head holds a connection for the head time-out only, the client is told, others are served."""
    with Client(impatient.address) as slow:
        slow.send(_HALF_A_HEAD)
        impatient.assert_healthy()
        answers = slow.receive_until_end()
    assert [answer.status for answer in answers] == [408]
    assert answers[0].problem()["code"] == "request_timeout"
    assert answers[0].ends_connection


def test_a_hundred_slow_heads_stop_nobody(impatient: Service) -> None:
    """As many slow heads as there may be connections, twice over: a patient client is served right after."""
    for _ in range(2):
        with many(impatient.address, 45) as slow:
            for client in slow:
                client.send(_HALF_A_HEAD)
            impatient.assert_healthy()
            for client in slow:
                assert [answer.status for answer in client.receive_until_end()] == [408]
    impatient.assert_healthy()


def test_an_idle_connection_is_closed_without_a_word(impatient: Service) -> None:
    """It ends in good order, with no answer that a proxy could take for one to its next request."""
    with Client(impatient.address) as client:
        assert client.ask(request("/envoy/open/a")).status == 200
        client.assert_ended()


def test_dribbling_does_not_buy_time() -> None:
    """The head time-out runs from the first byte, however often another one comes."""
    with Listener() as listener:
        connection = listener.connect()
        connection.send(_HALF_A_HEAD)
        seconds = 0
        while not connection.ended:
            listener.pass_time(1)
            connection.send(b"x")
            seconds += 1
        assert connection.statuses() == [408]
        assert seconds <= _LIMITS.head_seconds + 2 * _SWEEP


def test_a_head_has_its_full_time() -> None:
    """It may have begun just before the next sweep, and still has the whole head time-out from there."""
    with Listener() as listener:
        connection = listener.connect()
        connection.send(_HALF_A_HEAD)
        listener.pass_time(_LIMITS.head_seconds + 0.9 * _SWEEP)
        connection.send(b"mple\r\n\r\n")
        assert connection.statuses() == [200]


def test_the_head_time_out_begins_anew_with_each_request() -> None:
    """A connection that has been in use for long gives its next head the full time."""
    with Listener() as listener:
        connection = listener.connect()
        for _ in range(5):
            connection.send(_HALF_A_HEAD)
            listener.pass_time(_LIMITS.head_seconds)
            connection.send(b"mple\r\n\r\n" + _HALF_A_HEAD)
            listener.pass_time(_LIMITS.head_seconds)
            connection.send(b"mple\r\n\r\n")
        assert connection.statuses() == [200] * 10
        assert not connection.ended


def test_a_slow_head_behind_a_fast_one_is_timed_out() -> None:
    """The rest of a read that held a whole request is the beginning of a head like any other."""
    with Listener() as listener:
        connection = listener.connect()
        connection.send(request() + _HALF_A_HEAD)
        listener.pass_time(_LIMITS.head_seconds + 2 * _SWEEP)
        assert connection.statuses() == [200, 408]
        assert connection.ended


def test_a_method_without_target_is_not_kept_for_long() -> None:
    """The first bytes of a request, before its target, keep no connection beyond the idle time-out."""
    with Listener() as listener:
        connection = listener.connect()
        connection.send(b"GE")
        listener.pass_time(_LIMITS.idle_seconds + 2 * _SWEEP)
        assert connection.transport.lost


def test_a_body_that_never_comes_is_not_waited_for() -> None:
    """Its request was answered, so the connection ends soon, and without a second answer."""
    for line in ("Transfer-Encoding: chunked", "Content-Length: 10"):
        with Listener() as listener:
            connection = listener.connect()
            connection.send(request("/envoy/any", line, method="POST"))
            listener.pass_time(5)
            assert connection.statuses() == [200]
            assert connection.transport.lost


def test_an_idle_connection_is_kept_as_long_as_is_promised() -> None:
    """It lives for the idle time-out, counted from its last request, and a little longer at most."""
    with Listener() as listener:
        connection = listener.connect()
        for _ in range(3):
            connection.send(request())
            listener.pass_time(_LIMITS.idle_seconds - _SWEEP)
            assert not connection.ended
        listener.pass_time(3 * _SWEEP)
        assert connection.transport.lost
        assert connection.statuses() == [200] * 3


def test_a_connection_that_never_asks_is_closed() -> None:
    """Connecting and saying nothing keeps a place for the idle time-out only."""
    with Listener() as listener:
        connection = listener.connect()
        listener.pass_time(_LIMITS.idle_seconds + 2 * _SWEEP)
        assert connection.transport.lost
        assert len(listener.connections) == 0


def test_a_client_whose_answer_takes_long_is_not_timed_out() -> None:
    """However long argon2 and the store take, the client that waits for them is not taken for an idle one."""
    with Listener() as listener:
        connection = listener.connect()
        connection.send(request(SLOW))
        listener.pass_time(_LIMITS.idle_seconds + _LIMITS.head_seconds + 2 * _SWEEP)
        assert not connection.ended
        listener.release()
        assert connection.statuses() == [200]


def test_a_refused_client_that_stays_is_cut_off() -> None:
    """After a refusal the client may read it in peace, but its connection doesn't outlive that by much."""
    with Listener() as listener:
        connection = listener.connect()
        connection.send(b"nonsense\r\n\r\n")
        for _ in range(8):
            connection.send(b"more nonsense")
            listener.pass_time(1)
        assert connection.statuses() == [400]
        assert connection.transport.lost
        assert len(listener.connections) == 0


def test_nothing_is_read_as_a_request_after_a_refusal() -> None:
    """While a refused connection is being closed, what still comes is thrown away unread."""
    with Listener() as listener:
        connection = listener.connect()
        connection.send(b"nonsense\r\n\r\n", request(), request())
        assert connection.statuses() == [400]
