"""A crowd of clients that misbehave, each with more requests at once than it may have in flight."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.waiting import eventually

from .callers import NONE, PROBE, QUICK, WEIGHTS, Behaviour, Caller
from .upstream import Upstream

# How long the last signals may take to come after the last request, in seconds.
SETTLED_WITHIN = 2.0
# A refused caller comes back after so long, lest the crowd does nothing but be refused.
_REFUSED_SECONDS = 0.01


@dataclass
class Of:
    """What one client saw, and the upstream of it."""

    name: str
    most: int = 0
    """In flight at the upstream at once."""
    statuses: Counter[int] = field(default_factory=Counter)
    """NONE (0) counts what the client left, or what broke."""
    refusals: Counter[str] = field(default_factory=Counter)
    """By the problem's code."""
    behaviours: Counter[str] = field(default_factory=Counter)
    free: int = 0
    """How many requests were let pass at once when all was over."""


@dataclass
class Report:
    """All of it. `left_*` is what hadn't ended after SETTLED_WITHIN seconds; 0 is right."""

    clients: list[Of]
    seconds: float
    left_upstream: int
    left_held: int
    settled_after: float

    @property
    def free(self) -> int:
        """What was free for the client that had least."""
        return min(client.free for client in self.clients)

    @property
    def most(self) -> int:
        """The most that any client had in flight at the upstream."""
        return max(client.most for client in self.clients)

    def statuses(self) -> Counter[int]:
        """Return how often each status came."""
        return sum((client.statuses for client in self.clients), Counter())

    def lines(self) -> str:
        """Return it as text: all together, with what is left (upstream, leases), then each client."""
        refusals: Counter[str] = sum((client.refusals for client in self.clients), Counter())
        behaviours: Counter[str] = sum((client.behaviours for client in self.clients), Counter())
        total = sum(self.statuses().values())
        return "\n".join(
            [
                f"{total} requests in {self.seconds:.1f} s, at most {self.most} in flight for one client",
                f"statuses (0: left or broken): {dict(sorted(self.statuses().items()))}",
                f"refusals: {dict(refusals)}",
                f"behaviours: {dict(behaviours)}",
                f"left after {self.settled_after:.2f} s: {(self.left_upstream, self.left_held)}",
                f"at least {self.free} slots free for each client",
                *(
                    f"{of.name}: most {of.most}, free {of.free}, {dict(sorted(of.statuses.items()))}"
                    for of in self.clients
                ),
            ]
        )


async def crowd(
    port: int,
    keys: Sequence[str],
    *,
    seconds: float,
    parallel: int,
    maximum: int,
    upstream: Upstream,
    held: Callable[[], int],
    names: Sequence[str] | None = None,
    weights: Mapping[Behaviour, int] = WEIGHTS,
    seed: int = 1,
) -> Report:
    """Have each key's client ask with so many requests in parallel for so long.

    It may have `maximum` in flight; at the end it is looked whether it may still. `held` asks how many leases
    haven't ended. `weights` say how often each does what. `names` are the key ids by which the upstream knows
    the clients, where these are not the keys.
    """
    clients = [Of(name) for name in (names or keys)]
    began = time.monotonic()
    callers = [
        _call(
            Caller(port, key),
            client,
            random.Random(f"{seed} {client.name} {number}"),
            weights,
            until=began + seconds,
        )
        for key, client in zip(keys, clients, strict=True)
        for number in range(parallel)
    ]
    await asyncio.gather(*callers)
    ended = time.monotonic()
    left = await _settled(lambda: (upstream.left(), held()))
    settled_after = time.monotonic() - ended
    for key, client in zip(keys, clients, strict=True):
        client.most = upstream.most[client.name]
        client.free = await _free(port, key, maximum)
    return Report(clients, ended - began, *left, settled_after)


async def _settled(left: Callable[[], tuple[int, int]]) -> tuple[int, int]:
    """Wait until nothing is left, and return what is."""
    with contextlib.suppress(AssertionError):
        await eventually(lambda: left() == (0, 0), within=SETTLED_WITHIN)
    return left()


async def _free(port: int, key: str, maximum: int) -> int:
    """Ask for so many slots at once, and return how many were free. What is slow holds its slot meanwhile."""
    callers = [Caller(port, key) for _ in range(maximum)]
    replies = await asyncio.gather(*(caller.ask(PROBE) for caller in callers))
    for caller in callers:
        await caller.close()
    return sum(reply.status == 200 for reply in replies)


async def _call(
    caller: Caller, of: Of, chance: random.Random, weights: Mapping[Behaviour, int], *, until: float
) -> None:
    while time.monotonic() < until:
        behaviour: Behaviour = chance.choices([*weights], [*weights.values()])[0]
        status, body = await caller.ask(behaviour)
        of.behaviours[behaviour.name] += 1
        of.statuses[status] += 1
        if status == 429:
            of.refusals[json.loads(body)["code"]] += 1
            await asyncio.sleep(_REFUSED_SECONDS)
    await caller.close()


async def sequence(port: int, key: str, *, count: int, behaviour: Behaviour = QUICK) -> Counter[int]:
    """Ask one request after the other on one connection, and return how often each status came.

    With a limit of one request in flight none may be refused: the client has never more.
    """
    statuses: Counter[int] = Counter()
    caller = Caller(port, key)
    for _ in range(count):
        statuses[(await caller.ask(behaviour)).status] += 1
    await caller.close()
    assert NONE not in statuses, f"a connection broke: {statuses}"
    return statuses
