from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from . import traffic
from .client import Client
from .in_process import Listener
from .service import Service

_STATUS = {"allowed": 200, "missing": 401, "scope": 403, "spent": 429, "nobody": 404, "malformed": 400}
_CUTS = st.lists(st.floats(0, 1), max_size=12)


@settings(max_examples=400)
@given(messages=traffic.conversations(), cuts=_CUTS)
def test_a_conversation_is_answered_message_by_message(
    service: Service, messages: list[traffic.Message], cuts: list[float]
) -> None:
    """Whatever a client sends, well-formed or not, however it is cut: each answer belongs to its request."""
    due = traffic.answered(messages)
    data = traffic.written(messages, valid=service.keys.valid, spent=service.keys.spent)
    with Client(service.address) as client:
        for piece in traffic.pieces(data, cuts):
            client.send_what_is_taken(piece)
        for number, message in enumerate(due):
            answer = client.receive(message.method)
            assert answer.status == _STATUS[message.kind]
            assert answer.ends_connection == message.last
            if answer.status in {401, 403, 429} and message.method != "HEAD":
                assert answer.problem()["request_id"] == f"n{number}"
        if due and due[-1].last:
            client.assert_cut_off()
        else:
            client.send_end()
            client.assert_ended()
    service.assert_healthy()


@settings(max_examples=400)
@given(messages=traffic.conversations(), cuts=_CUTS)
def test_the_check_sees_exactly_what_was_sent(messages: list[traffic.Message], cuts: list[float]) -> None:
    """Where cuts are exact: checks are asked about these targets, in this order, and about no others."""
    due = traffic.answered(messages)
    data = traffic.written(messages, valid="valid", spent="spent")
    with Listener() as listener:
        connection = listener.connect()
        connection.send(*traffic.pieces(data, cuts))
        answers = connection.answers(*(message.method for message in due))
        assert [answer.status for answer in answers] == [400 if m.kind == "malformed" else 200 for m in due]
        assert connection.ended == bool(due and due[-1].last)
        targets = [head.target.decode() for head in listener.asked]
        asked = [(number, message) for number, message in enumerate(due) if message.kind != "malformed"]
        assert [target.rpartition("/")[2] for target in targets] == [f"n{number}" for number, _ in asked]


@settings(max_examples=200)
@given(conversations=st.lists(traffic.conversations(), min_size=2, max_size=4), cuts=_CUTS)
def test_conversations_side_by_side_do_not_mix(
    conversations: list[list[traffic.Message]], cuts: list[float]
) -> None:
    """Answers of one turn of the event loop are written together; each goes to the connection that asked."""
    with Listener() as listener:
        connections = [listener.connect() for _ in conversations]
        queues = [
            traffic.pieces(traffic.written(messages, valid="valid", spent="spent"), cuts)
            for messages in conversations
        ]
        while any(queues):
            for connection, queue in zip(connections, queues, strict=True):
                if queue:
                    connection.send(queue.pop(0))
        for connection, messages in zip(connections, conversations, strict=True):
            due = traffic.answered(messages)
            answers = connection.answers(*(message.method for message in due))
            assert [answer.status for answer in answers] == [
                400 if m.kind == "malformed" else 200 for m in due
            ]
