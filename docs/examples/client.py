"""A client that keeps to the limits of the API, with nothing but Python's standard library.

    client = Client("https://api.example.com", os.environ["API_KEY"])
    answer = client.request("GET", "/v1/orders")
    print(answer.status, answer.json())

It slows down before a limit is spent, waits when it is told to, repeats what was refused for limits or for
want of capacity, gives up with a clear error, and warns when its key has been replaced. One client serves one
thread.
"""

from __future__ import annotations

import json
import random
import re
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from email.message import Message
from email.utils import parsedate_to_datetime
from typing import Any

TRY_AGAIN = {429, 503}
# Codes of refusals before the API saw the request: repeating it does nothing twice, whatever its method.
NOT_BEGUN = {
    "rate_limited",
    "quota_exceeded",
    "cooling_down",
    "too_many_concurrent_requests",
    "store_unavailable",
    "overloaded",
    "internal_error",
    "authorization_unavailable",
}
HARMLESS_METHODS = {"GET", "HEAD", "PUT", "DELETE", "OPTIONS"}
_MEMBER = re.compile(r'"([^"]*)"((?:;[a-z]+=[0-9]+)*)')
_PARAMETER = re.compile(r";([a-z]+)=([0-9]+)")


class KeyIsEndingWarning(UserWarning):
    """The key was replaced: put the new one in its place before this one ends."""


@dataclass
class Answer:
    """What the API said. Names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self.body)

    def problem(self) -> Mapping[str, Any]:
        """Return the problem (RFC 9457) in the body, empty where there is none."""
        if not self.headers.get("content-type", "").startswith("application/problem+json"):
            return {}
        problem = self.json()
        return problem if isinstance(problem, dict) else {}


class RefusedError(Exception):
    """The request was refused, and repeating it is of no use: `answer` says why."""

    def __init__(self, answer: Answer, reason: str = "") -> None:
        problem = answer.problem()
        code, detail, request_id = (problem.get(name, "") for name in ("code", "detail", "request_id"))
        said = f" {code}: {detail} (request {request_id})" if problem else ""
        super().__init__(f"{answer.status}{said}{reason and f' - {reason}'}")
        self.answer = answer


class GaveUpError(RefusedError):
    """It was refused for now, and waiting would take too long or was tried often enough."""


@dataclass
class Client:
    """Sends requests with a key.

    A request waits for `patience` seconds in all, at most, and is sent `attempts` times at most. Limits are
    spread over their time when less than half of them is left, if they are whole again within `spread`
    seconds: a quota of a month is not, or a morning's work would take until the end of the month.
    """

    url: str
    key: str = field(repr=False)
    patience: float = 60
    attempts: int = 5
    spread: float = 3600
    timeout: float = 30
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    chance: Callable[[], float] = random.random
    _next: float = field(default=0, init=False)
    _warned: str = field(default="", init=False, repr=False)

    def request(
        self, method: str, path: str, *, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send a request and return its answer.

        Raises RefusedError for 401 and 403, GaveUpError where waiting is of no use, OSError where nobody
        answers.
        """
        left = self.patience - self._pace(self.patience)
        for attempt in range(1, self.attempts + 1):
            answer = self._send(method, path, body, headers or {})
            self._look_at(answer)
            if answer.status in {401, 403}:
                raise RefusedError(answer)
            if answer.status not in TRY_AGAIN:
                return answer
            if method not in HARMLESS_METHODS and answer.problem().get("code") not in NOT_BEGUN:
                raise RefusedError(answer, "it may have been done, so it is not repeated")
            wait = self._told_to_wait(answer, attempt)
            if attempt == self.attempts:
                raise GaveUpError(answer, f"after {attempt} attempts")
            if wait > left:
                raise GaveUpError(answer, f"it would take {wait:.0f} s more, and {left:.0f} s are left")
            left -= wait
            self.sleep(wait)
        raise AssertionError("attempts must be 1 at least")

    def _pace(self, longest: float) -> float:
        """Wait until the next request is due, and return for how long. What is too long is not waited for.

        The API says best itself when a request can pass: `t` of a spent limit is when it is whole again.
        """
        wait = self._next - self.clock()
        if not 0 < wait <= longest:
            return 0
        self.sleep(wait)
        return wait

    def _send(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        asked = urllib.request.Request(
            self.url + path,
            data=body,
            headers={**headers, "Authorization": f"Bearer {self.key}"},
            method=method,
        )
        try:
            with _OPENER.open(asked, timeout=self.timeout) as answer:
                return _read(answer.status, answer.headers, answer.read())
        except urllib.error.HTTPError as refusal:
            with refusal:
                return _read(refusal.code, refusal.headers, refusal.read())

    def _look_at(self, answer: Answer) -> None:
        """Learn from an answer when the next request is due, and whether the key is about to end."""
        self._next = self.clock() + _pause(answer.headers, self.spread)
        sunset = answer.headers.get("sunset", "")
        # A Sunset without Deprecation may be that of a part of the API itself (RFC 8594).
        if sunset and "deprecation" in answer.headers and sunset != self._warned:
            self._warned = sunset
            warnings.warn(f"this key was replaced and ends at {sunset}", KeyIsEndingWarning, stacklevel=3)

    def _told_to_wait(self, answer: Answer, attempt: int) -> float:
        """Return for how long to wait: as told, or longer each time, and a little more at random."""
        told = _retry_after(answer.headers)
        if told is None:
            told = 2.0 ** (attempt - 1)
        # A tenth, and half a second for short waits: whoever was refused together comes back one by one.
        return told + self.chance() * max(0.5, told / 10)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Leaves redirects to the caller: the key must not follow one to another host."""

    def redirect_request(self, *_: object) -> None:
        """Don't."""


_OPENER = urllib.request.build_opener(_NoRedirects)


def _read(status: int, headers: Message, body: bytes) -> Answer:
    # Lines of one name are one list (RFC 9110 section 5.3).
    names = {name.lower() for name in headers}
    return Answer(status, {name: ", ".join(headers.get_all(name, ())) for name in names}, body)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Return Retry-After in seconds. A date is compared with the answer's own: no clock need be right."""
    text = headers.get("retry-after", "").strip()
    if text.isdecimal():
        return float(text)
    try:
        until, now = parsedate_to_datetime(text), parsedate_to_datetime(headers.get("date", ""))
    except ValueError:
        return None
    return max(0.0, (until - now).total_seconds())


def _pause(headers: Mapping[str, str], spread: float) -> float:
    """Return for how long to pause so that what remains of each limit lasts until it is whole again."""
    policies = {name: numbers.get("q", 0) for name, numbers in _members(headers.get("ratelimit-policy", ""))}
    pauses = [0.0]
    for name, numbers in _members(headers.get("ratelimit", "")):
        remaining, seconds = numbers.get("r", 0), numbers.get("t", 0)
        if remaining * 2 < policies.get(name, 0) and seconds <= spread:
            pauses.append(seconds / max(remaining, 1))
    return max(pauses)


def _members(text: str) -> Iterator[tuple[str, Mapping[str, int]]]:
    """Take a list such as `"per-second";r=9;t=1, "per-hour";r=900;t=360` apart (RFC 9651)."""
    for name, parameters in _MEMBER.findall(text):
        yield name, {key: int(number) for key, number in _PARAMETER.findall(parameters)}
