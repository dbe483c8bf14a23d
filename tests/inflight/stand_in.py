"""Stands in for extauth where a test needs answers that the real one gives seldom: late, never, no lease.

Who asks and what it gets stands in the key: `NAME` for a lease, `NAME/MODE` for one of the modes below.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from typing import NamedTuple

from extauth.completion.signals import Signal

from .http1 import Listener, Request, answer

# Answers that take no lease: a header that is missing, and one that is empty.
NO_LEASE = "free"
EMPTY_LEASE = "empty"
# Long enough that a client can leave meanwhile, and shorter than the proxies' second of patience.
LATE = "late"
LATE_SECONDS = 0.4
NEVER = "never"
CLOSED = "closed"
_TYPE = "application/problem+json"
_REFUSED = b'{"type":"about:blank","status":%d,"code":"%b"}'
_CODES = {401: b"invalid_key", 403: b"insufficient_scope", 429: b"too_many_concurrent_requests"}


class Check(NamedTuple):
    """One check as it came, and the lease that was given; empty where none was."""

    request_id: str
    key: str
    lease: str
    headers: dict[str, str]


class StandIn:
    """Answers checks in the dialects of all proxies. A name holds no more than `maximum` leases."""

    def __init__(self, port: int, *, maximum: int | None = None) -> None:
        self.port = port
        self.listener = Listener(port, self._check)
        self.maximum = maximum
        # Whether signals are not listened to.
        self.deaf = False
        self.checks: list[Check] = []
        # Of checks that were answered late, by request id: whether the proxy had closed the connection.
        self.left_meanwhile: dict[str, bool] = {}
        self._numbers = itertools.count(1)
        self._leases: dict[str, tuple[str, str]] = {}
        self._held: Counter[str] = Counter()
        # Of requests whose end came before their check: the proxy tells on another connection.
        self._ended: set[str] = set()

    async def start(self) -> None:
        """Listen."""
        await self.listener.start()

    async def stop(self) -> None:
        """Listen no more."""
        await self.listener.stop()

    def keys(self, count: int) -> list[str]:
        """Return keys of so many clients."""
        return [f"client-{number}" for number in range(count)]

    def left(self) -> int:
        """Return how many leases haven't ended."""
        return len(self._leases)

    def forget(self) -> None:
        """Be as new."""
        self.checks.clear()
        self.left_meanwhile.clear()
        self._leases.clear()
        self._held.clear()
        self._ended.clear()

    def end(self, signal: Signal) -> None:
        """End a lease, or all of a request, even of one whose check is still on its way."""
        if signal.progress or self.deaf:
            return
        of_request = [lease for lease, (_, of) in self._leases.items() if of == signal.request_id]
        if not signal.lease and not of_request:
            self._ended.add(signal.request_id)
        for lease in [signal.lease] if signal.lease else of_request:
            if held := self._leases.pop(lease, None):
                self._held[held[0]] -= 1

    async def _check(self, request: Request) -> bytes:
        name, _, mode = request.headers.get("x-api-key", "").partition("/")
        status = int(mode) if mode.isdecimal() else 200
        takes = status == 200 and mode not in {NO_LEASE, EMPTY_LEASE}
        if takes and self.maximum is not None and self._held[name] >= self.maximum:
            status, takes = 429, False
        request_id = request.headers["x-request-id"]
        lease = f"lease-{next(self._numbers)}" if takes else ""
        if lease and request_id not in self._ended:
            self._leases[lease] = (name, request_id)
            self._held[name] += 1
        self.checks.append(Check(request_id, request.headers.get("x-api-key", ""), lease, request.headers))
        if mode == CLOSED:
            return b""
        if mode in {LATE, NEVER}:
            await asyncio.sleep(LATE_SECONDS if mode == LATE else 3_600)
            self.left_meanwhile[request_id] = request.is_left()
        headers = {"x-extauth-lease": lease} if lease or mode == EMPTY_LEASE else {}
        return _rendered(request, status, name, headers)


def _rendered(request: Request, status: int, name: str, headers: dict[str, str]) -> bytes:
    nginx = request.target.startswith("/nginx")
    if nginx:
        headers["x-extauth-status"] = str(status)
    if status == 200:
        return answer(200, {"x-auth-key-id": name, "x-auth-user-id": "", **headers})
    body = _REFUSED % (status, _CODES.get(status, b"store_unavailable"))
    if nginx:
        headers["x-extauth-body"] = body.decode()
        status = status if status in {401, 403} else 403
    return answer(status, {"content-type": _TYPE, **headers}, body, head=request.method == "HEAD")
