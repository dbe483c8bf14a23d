from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.checking import Rig
from tests.integration.processes import wait_until
from tests.sharing import SharedRig
from tests.waiting import eventually

from .client import PATIENCE, Client
from .in_process import SLOW, Listener
from .service import Keys, Service
from .wire import request, with_key

_MOMENTS = {
    "before anything": b"",
    "in the method": b"GE",
    "in the target": b"GET /envoy/a",
    "in a header": request()[:-10],
    "before the empty line": request()[:-2],
    "in a body": request("/envoy/any", "Content-Length: 10", body=b"12345"),
    "in a chunk": request("/envoy/any", "Transfer-Encoding: chunked", body=b"5\r\n12"),
    "before an answer": request(),
    "before many answers": request() * 500,
    "behind a refusal": b"nonsense\r\n\r\n",
}


def _wait_until_forgotten(service: Service, before: int) -> None:
    wait_until(
        lambda: service.metric("extauth_open_connections") <= before,
        within=PATIENCE,
        what="connections whose clients left are forgotten",
    )


@pytest.mark.parametrize("leave", [Client.close, Client.reset], ids=["close", "reset"])
@pytest.mark.parametrize("data", _MOMENTS.values(), ids=_MOMENTS.keys())
def test_a_client_may_leave_at_any_moment(
    service: Service, data: bytes, leave: Callable[[Client], None]
) -> None:
    """Its connection is forgotten, nothing is logged as a fault, and others are served."""
    before = service.metric("extauth_open_connections")
    for _ in range(20):
        client = Client(service.address)
        client.send(data)
        leave(client)
    service.assert_healthy()
    _wait_until_forgotten(service, before)
    assert service.metric("extauth_faults_total") == 0


@pytest.mark.parametrize("leave", [Client.close, Client.reset], ids=["close", "reset"])
def test_a_client_may_leave_while_argon2_is_at_work(
    service: Service, keys: Keys, leave: Callable[[Client], None]
) -> None:
    """The verification goes on for those who ask next, and the answer goes nowhere."""
    before = service.metric("extauth_open_connections")
    cold = [next(keys.cold) for _ in range(10)]
    for key in cold:
        client = Client(service.address)
        client.send(request("/envoy/any", with_key(key)) * 3)
        leave(client)
    assert {service.ask(with_key(key)).status for key in cold} == {200}
    _wait_until_forgotten(service, before)
    assert service.metric("extauth_faults_total") == 0


@pytest.mark.parametrize("leave", [Client.close, Client.reset], ids=["close", "reset"])
def test_a_client_may_leave_between_two_answers(
    service: Service, keys: Keys, leave: Callable[[Client], None]
) -> None:
    """It has read one of several and doesn't want the rest."""
    for _ in range(20):
        client = Client(service.address)
        client.send(request("/envoy/any", with_key(keys.valid)) * 100)
        assert client.receive().status == 200
        leave(client)
    service.assert_healthy()


def test_a_client_that_ends_its_side_gets_its_answers(service: Service, keys: Keys) -> None:
    """Half-close: who has said everything still listens, to one answer as to many."""
    for count in (1, 2, 100):
        for _ in range(20):
            with Client(service.address) as client:
                client.send(request("/envoy/any", with_key(keys.valid)) * count)
                client.send_end()
                assert [answer.status for answer in client.receive_until_end()] == [200] * count


def test_a_client_that_ends_its_side_gets_answers_that_take_time(service: Service, keys: Keys) -> None:
    """The same where argon2 has to work first, and where more waits behind it."""
    for _ in range(10):
        with Client(service.address) as client:
            client.send(request("/envoy/any", with_key(next(keys.cold))) + request() * 5)
            client.send_end()
            assert [answer.status for answer in client.receive_until_end()] == [200, *[401] * 5]


def test_a_client_that_ends_its_side_in_a_head_gets_no_answer(service: Service) -> None:
    """There is no request, so there is nothing to answer; the connection ends at once."""
    with Client(service.address) as client:
        client.send(request()[:-2])
        client.send_end()
        client.assert_ended()


def test_the_end_may_be_read_together_with_the_request() -> None:
    """Answers that are written in the next turn of the event loop are not lost by an end in this one."""
    for data, count in ((request(), 1), (request() * 3, 3), (request() + request(SLOW) + request(), 3)):
        with Listener() as listener:
            connection = listener.connect()
            connection.send_and_end(data)
            if count != len(connection.statuses()):
                listener.release()
            assert connection.statuses() == [200] * count
            assert connection.transport.lost


def test_a_connection_that_breaks_with_an_answer_due_takes_no_other_along() -> None:
    """Of two answers of one turn, one can no longer be written; the other one is."""
    with Listener() as listener:
        leaving, staying = listener.connect(), listener.connect()

        def break_in_the_middle() -> None:
            leaving.receive(request())
            leaving.transport.lose()
            staying.receive(request())

        listener.turn(break_in_the_middle)
        assert staying.statuses() == [200]


def test_an_answer_for_a_client_that_left_goes_nowhere() -> None:
    """It left while its answer was worked out: no fault, and nothing is left of it."""
    with Listener() as listener:
        connection = listener.connect()
        connection.send(request(SLOW) + request())
        listener.turn(connection.transport.lose)
        listener.release()
        assert connection.transport.written == b""
        assert len(listener.connections) == 0


def test_a_check_whose_client_left_counts_until_it_is_decided() -> None:
    """It costs as much as before: a client that leaves and comes back gets no more checks to wait for it."""
    rig = SharedRig(throttle={"max_checks": 1})
    with Listener() as listener:
        listener.responder = rig.responder
        key, _ = listener.run(rig.issue())
        listener.run(rig.ask(key=key))
        check = request("/envoy/any", with_key(key))
        rig.shared.deaf = True
        leaving, staying = listener.connect(), listener.connect()
        leaving.send(check)
        listener.turn(leaving.transport.lose)
        staying.send(check, check)
        assert staying.statuses() == [503, 503]
        listener.turn(rig.shared.hear_again)
        staying.send(check)
        assert staying.statuses() == [503, 503, 200]
    rig.hasher.close()


@pytest.mark.parametrize("leave", ["end", "lose"])
def test_a_check_whose_client_left_waits_for_no_slot(leave: str) -> None:
    """Its place in the queue is free for others, whether the connection ended in order or broke."""
    rig = Rig(tiers={"default": {"concurrency": {"max": 1, "queue": 1, "wait": "30s"}}})
    with Listener() as listener:
        listener.responder = rig.responder
        key, _ = listener.run(rig.issue())
        check = request("/envoy/any", with_key(key), "X-Request-Id: r-1")
        holding, leaving, staying = (listener.connect() for _ in range(3))
        holding.send(check)
        listener.run(eventually(lambda: holding.statuses() == [200]))
        leaving.send(check)
        listener.run(eventually(lambda: rig.leases.waiting == 1))
        if leave == "end":
            leaving.send_and_end(b"")
        else:
            listener.turn(leaving.transport.lose)
        listener.run(eventually(lambda: rig.leases.waiting == 0))
        staying.send(check)
        listener.run(eventually(lambda: rig.leases.waiting == 1))
        listener.turn(lambda: rig.leases.end_all([("r-1", "")]))
        listener.run(eventually(lambda: staying.statuses() == [200]))
    rig.hasher.close()


def test_checks_behind_one_another_take_one_place() -> None:
    """Those on one connection are decided in turn: the next may wait once the one before is answered."""
    rig = SharedRig(throttle={"max_checks": 1})
    with Listener() as listener:
        listener.responder = rig.responder
        key, _ = listener.run(rig.issue())
        connection = listener.connect()
        # The first is looked up, the others ask the store.
        connection.send(request("/envoy/any", with_key(key)) * 5)
        listener.run(eventually(lambda: len(connection.statuses()) == 5))
        assert connection.statuses() == [200] * 5
    rig.hasher.close()
