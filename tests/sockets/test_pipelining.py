from __future__ import annotations

import pytest

from .client import Client
from .in_process import SLOW, Listener
from .service import Keys
from .wire import Answer, request, with_key

_MANY = 500


def _identified(number: int) -> str:
    return f"X-Request-Id: request-{number}"


def _assert_in_order(answers: list[Answer], statuses: list[int]) -> None:
    assert [answer.status for answer in answers] == statuses
    for number, answer in enumerate(answers):
        if answer.status in {401, 403}:
            assert answer.problem()["request_id"] == f"request-{number}"


def test_a_hundred_requests_in_one_write_are_answered_in_order(client: Client, keys: Keys) -> None:
    """Each answer stands in the place of its request, whatever its status."""
    kinds = [
        ("/envoy/any", with_key(keys.valid), 200),
        ("/envoy/any", "X-Nothing: 1", 401),
        ("/envoy/scoped/a", with_key(keys.valid), 403),
        ("/elsewhere", "X-Nothing: 1", 404),
    ]
    chosen = [kinds[number % len(kinds)] for number in range(100)]
    client.send(
        b"".join(
            request(target, line, _identified(number)) for number, (target, line, _) in enumerate(chosen)
        )
    )
    _assert_in_order([client.receive() for _ in chosen], [status for _, _, status in chosen])
    client.assert_silent_and_open()


def test_answers_keep_their_order_when_the_first_needs_argon2(client: Client, keys: Keys) -> None:
    """A key seen for the first time takes milliseconds; the answers behind it are at hand, and still wait."""
    first = request("/envoy/any", with_key(next(keys.cold)), _identified(0))
    others = [request("/envoy/any", _identified(number)) for number in range(1, 50)]
    client.send(b"".join([first, *others]))
    _assert_in_order([client.receive() for _ in range(50)], [200, *[401] * 49])


def test_answers_keep_their_order_when_every_third_needs_argon2(client: Client, keys: Keys) -> None:
    """Waiting and answering at once may alternate within one write."""
    lines = [
        (with_key(next(keys.cold)), with_key("wrong"), with_key(keys.valid))[number % 3]
        for number in range(60)
    ]
    client.send(b"".join(request("/envoy/any", line, _identified(n)) for n, line in enumerate(lines)))
    _assert_in_order([client.receive() for _ in lines], [200, 401, 200] * 20)


def test_head_answers_have_no_body_between_others(client: Client, keys: Keys) -> None:
    """HEAD is answered like GET without the body, so the next answer begins where the head ends."""
    methods = ["GET", "HEAD", "HEAD", "GET", "HEAD"]
    client.send(b"".join(request("/envoy/any", method=method) for method in methods))
    answers = [client.receive(method) for method in methods]
    assert [answer.status for answer in answers] == [401] * 5
    assert answers[1].header("content-length") != "0"
    assert client.ask(request("/envoy/any", with_key(keys.valid))).status == 200


def test_hundreds_of_requests_behind_a_waiting_one_are_answered_in_order(client: Client, keys: Keys) -> None:
    """What stands behind a request that waits for argon2 waits its turn, however much one read brought."""
    first = request("/envoy/any", with_key(next(keys.cold)))
    client.send(first + request("/envoy/any") * _MANY + request("/envoy/any", "Connection: close"))
    statuses = [answer.status for answer in client.receive_until_end()]
    assert statuses == [200, *[401] * (_MANY + 1)]


def test_requests_in_reads_of_their_own_wait_in_the_kernel() -> None:
    """While an answer is due nothing more is read: a client that goes on sending is held up, not refused."""
    with Listener() as listener:
        connection = listener.connect()
        targets = [f"/envoy/{number}" for number in range(_MANY)]
        connection.send(request(SLOW), *map(request, targets))
        assert not connection.transport.reading
        assert connection.statuses() == []
        listener.release()
        connection.send()
        assert [echo["target"] for echo in connection.echoes()] == [SLOW, *targets]


def test_slow_answers_come_one_after_the_other() -> None:
    """Of several slow requests the next is begun when the one before is answered, and none is lost."""
    with Listener() as listener:
        connection = listener.connect()
        connection.send(
            request(SLOW + "/1") + request("/envoy/2") + request(SLOW + "/3") + request("/envoy/4")
        )
        listener.release()
        assert [echo["target"] for echo in connection.echoes()] == [SLOW + "/1", "/envoy/2"]
        listener.release()
        assert [echo["target"] for echo in connection.echoes()][2:] == [SLOW + "/3", "/envoy/4"]


def test_a_malformed_request_is_refused_after_the_answers_before_it() -> None:
    """A refusal waits for its turn like any answer, and is the last one."""
    with Listener() as listener:
        connection = listener.connect()
        connection.send(request(SLOW) + request("/envoy/2") + b"nonsense\r\n\r\n" + request("/envoy/3"))
        assert connection.statuses() == []
        listener.release()
        assert connection.statuses() == [200, 200, 400]
        assert connection.ended


def test_a_slow_answer_of_one_client_holds_up_no_other() -> None:
    """Waiting for argon2 is the matter of one connection."""
    with Listener() as listener:
        waiting, other = listener.connect(), listener.connect()
        waiting.send(request(SLOW))
        other.send(request("/envoy/any"))
        assert (waiting.statuses(), other.statuses()) == ([], [200])


@pytest.mark.parametrize("line", [b"", b"Connection: keep-alive\r\n"], ids=["plain", "looked at closely"])
def test_thousands_of_requests_in_one_read_hold_up_no_other(line: bytes) -> None:
    """Another client whose request came a moment later needn't wait until all of them are answered."""
    with Listener() as listener:
        greedy, modest = listener.connect(), listener.connect()

        def receive_from_both() -> None:
            greedy.receive(b"GET /envoy/greedy HTTP/1.1\r\nHost:a\r\n%b\r\n" % line * 6_000)
            # Two turns of the loop later, in which each connection may go on with one piece of its read.
            listener.loop.call_soon(listener.loop.call_soon, modest.receive, request("/envoy/modest"))

        listener.turn(receive_from_both)
        targets = [head.target for head in listener.asked]
        assert targets.index(b"/envoy/modest") < 1_000
