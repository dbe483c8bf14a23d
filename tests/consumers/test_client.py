"""The example client alone, against an HTTP server that answers as told: how long it waits, for what."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pytest

from docs.examples.client import Client, GaveUpError, KeyIsEndingWarning, RefusedError
from tests.integration.upstream import Answer, Upstream

PROBLEM = ("content-type", "application/problem+json")
DONE = Answer(200, (), b"{}")


def refusal(status: int, code: str = "rate_limited", **headers: str) -> Answer:
    """Return a refusal as extauth gives it."""
    lines = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    body = b'{"code": "%b", "detail": "Not now.", "request_id": "r-1"}' % code.encode()
    return Answer(status, (PROBLEM, *lines), body)


@dataclass
class Api:
    """A server that gives one answer after the other, moved on by the client's own waits."""

    upstream: Upstream
    url: str
    waits: list[float] = field(default_factory=list)
    now: float = 1_000.0

    def client(self, answers: Sequence[Answer], **options: float) -> Client:
        """Return a client that gets the first answer at once, and the next one each time it has waited."""
        coming = iter(answers)
        self.upstream.answer = next(coming)

        def sleep(seconds: float) -> None:
            self.waits.append(seconds)
            self.now += seconds
            self.upstream.answer = next(coming, self.upstream.answer)

        return Client(
            self.url,
            "a-key",
            sleep=sleep,
            clock=lambda: self.now,
            chance=lambda: 0.5,
            **options,  # type: ignore[arg-type]  # whole numbers are floats too
        )

    @property
    def asked(self) -> int:
        """How many requests came."""
        return len(self.upstream.requests)


@pytest.fixture
def api() -> Iterator[Api]:
    """The server."""
    upstream = Upstream()
    yield Api(upstream, f"http://127.0.0.1:{upstream.start()}")
    upstream.stop()


def test_the_key_is_sent_and_nothing_is_waited_for(api: Api) -> None:
    """The simplest case: one request, one answer."""
    answer = api.client([DONE]).request("POST", "/v1/x?a=b", body=b"hello", headers={"X-Other": "y"})
    (received,) = api.upstream.requests
    assert (answer.status, answer.json(), api.waits) == (200, {}, [])
    assert (received.method, received.target, received.body_length) == ("POST", "/v1/x?a=b", 5)
    assert (received.header("authorization"), received.header("x-other")) == ("Bearer a-key", "y")


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_it_waits_as_told_and_a_little_more(api: Api, status: int, method: str) -> None:
    """Retry-After and something at random, then it asks again; twice if need be."""
    answers = [refusal(status, retry_after="2"), refusal(status, retry_after="30"), DONE]
    assert api.client(answers).request(method, "/").status == 200
    assert api.waits == [2.25, 31.5]
    assert api.asked == 3


def test_without_a_time_it_waits_longer_each_time(api: Api) -> None:
    """Twice as long, with something at random."""
    answers = [*[refusal(503, "overloaded")] * 4, DONE]
    assert api.client(answers).request("GET", "/").status == 200
    assert api.waits == [1.25, 2.25, 4.25, 8.4]


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"retry_after": "Sat, 28 Nov 2026 20:00:10 GMT", "date": "Sat, 28 Nov 2026 20:00:00 GMT"}, 10.5),
        ({"retry_after": "Sat, 28 Nov 2026 19:00:00 GMT", "date": "Sat, 28 Nov 2026 20:00:00 GMT"}, 0.25),
        ({"retry_after": "soon", "date": "Sat, 28 Nov 2026 20:00:00 GMT"}, 1.25),
        ({"retry_after": "Sat, 28 Nov 2026 20:00:10 GMT"}, 1.25),
        ({"retry_after": "-5"}, 1.25),
    ],
)
def test_what_retry_after_may_hold(api: Api, headers: dict[str, str], wait: float) -> None:
    """Seconds, or a date beside that of the answer (RFC 9110 section 10.2.3); else as if there were none."""
    assert api.client([refusal(429, **headers), DONE]).request("GET", "/").status == 200
    assert api.waits == [pytest.approx(wait)]


def test_it_gives_up_when_waiting_would_take_too_long(api: Api) -> None:
    """At once, not after the time it has, and the error says what it would take."""
    client = api.client([refusal(429, "quota_exceeded", retry_after="90000")])
    with pytest.raises(
        GaveUpError, match=r"429 quota_exceeded: Not now. \(request r-1\) - it would take 94500 s"
    ):
        client.request("GET", "/")
    assert (api.waits, api.asked) == ([], 1)


def test_all_waits_of_a_request_count(api: Api) -> None:
    """Patience is for the request, not for each wait."""
    client = api.client([refusal(429, retry_after="25")])
    with pytest.raises(GaveUpError, match="are left"):
        client.request("GET", "/")
    assert (sum(api.waits), api.asked) == (52.5, 3)


def test_it_asks_a_bounded_number_of_times(api: Api) -> None:
    """However short the waits are."""
    with pytest.raises(GaveUpError, match="after 3 attempts"):
        api.client([refusal(429, retry_after="0")], attempts=3).request("GET", "/")
    assert api.asked == 3


@pytest.mark.parametrize(("status", "code"), [(401, "invalid_key"), (403, "insufficient_scope")])
def test_a_key_that_is_refused_is_not_sent_again(api: Api, status: int, code: str) -> None:
    """The error has the answer; it is none of those that time mends."""
    with pytest.raises(RefusedError, match=f"{status} {code}") as caught:
        api.client([refusal(status, code)]).request("GET", "/")
    assert not isinstance(caught.value, GaveUpError)
    assert (caught.value.answer.problem()["code"], api.asked, api.waits) == (code, 1, [])


@pytest.mark.parametrize("status", [200, 204, 302, 400, 404, 500, 502])
def test_other_answers_are_the_callers(api: Api, status: int) -> None:
    """Nothing is repeated, and no redirect is followed: the key must not go to another host."""
    answer = api.client([Answer(status, (("location", "http://elsewhere.example/"),), b"")]).request(
        "GET", "/"
    )
    assert (answer.status, answer.problem(), api.asked) == (status, {}, 1)


def test_what_may_have_been_done_is_not_done_twice(api: Api) -> None:
    """A 503 of the API itself may come in the middle of its work; reading again does no harm."""
    of_the_api = Answer(503, (("retry-after", "1"),), b"busy")
    with pytest.raises(RefusedError, match="it may have been done"):
        api.client([of_the_api, DONE]).request("POST", "/")
    assert api.asked == 1
    assert api.client([of_the_api, DONE]).request("GET", "/").status == 200


def limits(policy: str, state: str) -> Answer:
    """Return an allowed answer with limits."""
    return Answer(200, (("ratelimit-policy", policy), ("ratelimit", state)), b"")


@pytest.mark.parametrize(
    ("state", "pause"),
    [
        ('"a";r=10;t=10', 0),  # half is left
        ('"a";r=4;t=16', 4),
        ('"a";r=1;t=19', 19),
        ('"a";r=0;t=20', 20),
        ('"a";r=0;t=61', 0),  # longer than the patience: Retry-After will say exactly
        ('"a";r=4;t=16, "b";r=1;t=50', 50),
        ('"a";r=4;t=16, "month";r=3;t=90000', 4),  # not to be spread
        ("nonsense", 0),
        ("", 0),
    ],
)
def test_what_remains_is_spread(api: Api, state: str, pause: float) -> None:
    """Once less than half is left, over the time until it is whole; the limit that needs most decides."""
    client = api.client([limits('"a";q=20;w=20, "b";q=100;w=50, "month";q=1000', state)])
    client.request("GET", "/")
    client.request("GET", "/")
    assert sum(api.waits) == pytest.approx(pause)
    assert api.asked == 2


def test_time_that_passes_by_itself_counts(api: Api) -> None:
    """Whoever asks seldom is never held up."""
    client = api.client([limits('"a";q=20;w=20', '"a";r=4;t=16')])
    client.request("GET", "/")
    api.now += 3
    client.request("GET", "/")
    api.now += 60
    client.request("GET", "/")
    assert api.waits == [1]


def test_a_key_that_was_replaced_is_told_once(api: Api) -> None:
    """Each end is told once; a Sunset alone is not the key's."""
    ending = (("deprecation", "@1764360000"), ("sunset", "Sun, 29 Nov 2026 20:00:00 GMT"))
    client = api.client([Answer(200, ending, b"")])
    with pytest.warns(KeyIsEndingWarning, match="ends at Sun, 29 Nov 2026") as told:
        client.request("GET", "/")
    assert [warning.filename for warning in told] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        client.request("GET", "/")
        api.upstream.answer = Answer(200, ending[1:], b"")
        Client(api.url, "a-key").request("GET", "/")


def test_the_key_is_not_shown() -> None:
    """Neither in the client's own text, nor by accident in a log."""
    assert "a-key" not in repr(Client("http://x.example", "a-key"))
