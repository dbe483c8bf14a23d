"""Who is measured: the contenders, what each must answer, how their servers start. It measures nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.load import CheckRequest, check_request
from benchmarks.servers import Server, start_uvicorn
from benchmarks.service import DecisionLog, Keys, Service

FLOOR = "floor"
TITLES = {
    FLOOR: "bare ASGI function on uvicorn",
    "allowed": "extauth, warm check allowed",
    "fresh": "extauth, allowed, path not seen before",
    "limited": "extauth, rate limit spent",
    "unknown": "extauth, forged key",
    "peer": "FastAPI with slowapi",
}
# The status that each must answer, and for extauth the code that its decision lines must hold.
_EXTAUTH_ANSWERS = {
    "allowed": (200, "allowed"),
    "fresh": (200, "allowed"),
    "limited": (429, "rate_limited"),
    "unknown": (401, "invalid_key"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One server and the checks that it is asked; `log` and `code` where it writes decision lines."""

    name: str
    server: Server
    status: int
    key: str = field(repr=False)
    log: DecisionLog | None = None
    code: str = ""

    def request(self) -> CheckRequest:
        """Return the check with this contender's key, under request ids that were never used before."""
        return check_request(self.key, fresh_path=self.name == "fresh")


def start_contenders(
    stack: ExitStack, wanted: Collection[str], *, service: Service, keys: Keys, core: int, folder: Path
) -> list[Contender]:
    """Start the servers of the wanted contenders, in the order of a round; the stack stops them.

    Raises:
        ServerError: One of them did not start.
    """
    contenders = []
    if FLOOR in wanted:
        server = start_uvicorn("benchmarks.floor:app", core=core, folder=folder)
        stack.callback(server.stop)
        contenders.append(Contender(name=FLOOR, server=server, status=200, key=keys.allowed))
    if any(name in wanted for name in _EXTAUTH_ANSWERS):
        server = service.serve(core=core)
        stack.callback(server.stop)
        contenders += [one for one in _of_extauth(server, service.log, keys) if one.name in wanted]
    if "peer" in wanted:
        digest = hashlib.sha256(keys.allowed.encode()).hexdigest()
        environment = {"BENCHMARK_KEY_SHA256": digest}
        server = start_uvicorn("benchmarks.peer:app", core=core, folder=folder, environment=environment)
        stack.callback(server.stop)
        contenders.append(Contender(name="peer", server=server, status=200, key=keys.allowed))
    return contenders


def _of_extauth(server: Server, log: DecisionLog, keys: Keys) -> list[Contender]:
    """All three ask one and the same process: a decision must not be cheaper because others never come."""
    key_of = {"allowed": keys.allowed, "fresh": keys.allowed, "limited": keys.spent, "unknown": keys.forged}
    return [
        Contender(name=name, server=server, status=status, key=key_of[name], log=log, code=code)
        for name, (status, code) in _EXTAUTH_ANSWERS.items()
    ]
