"""Mixed requests through a proxy, and whether usage tells what clients and upstream counted.

    python -m tests.inflight.mixed --proxy nginx --workers 4 --requests 100000
    python -m tests.inflight.mixed --proxy envoy --requests 100000

prints what each side counted, and "the same" where they agree.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from extauth.model import Code
from extauth.usage.report import OUTCOME_NAMES
from extauth.usage.tracker import POSITIONS
from tests.waiting import eventually

from .callers import QUICK, Behaviour, Caller
from .real import Real, real

MAXIMUM = 2
_TIGHT = "tight"
SECTIONS: dict[str, Any] = {
    "routes": [
        {"path": "/slow", "name": "slow"},
        {"path": "/secret", "name": "secret", "scopes": ["secret:read"]},
    ],
    "tiers": {
        "default": {"concurrency": {"max": MAXIMUM, "ttl": "1m"}},
        _TIGHT: {"rates": ["20/second burst 40"]},
    },
    # Who sends keys that are no good is banned otherwise; and a check that is late is a failed one.
    "abuse": {"per_address": {"failures": 1_000_000, "window": "1s"}},
    "failure": {"deadline": "1s"},
}
_SECRET = Behaviour("not allowed", "/secret")
_SLOW = Behaviour("slow", "/slow?ms=5")
# How often each is chosen.
_WEIGHTS = {QUICK: 12, _SLOW: 5, _SECRET: 1}
_AGREED_WITHIN = 20.0
# Traefik is ready once it refuses a request without a key, which is counted like all others.
_BEFORE = Counter(refused=1)

# How many requests of each outcome, by key.
Counts = dict[str, Counter[str]]


@dataclass
class Seen:
    """What clients and upstream counted, by key; `odd` are answers that are no decision's."""

    clients: Counts = field(default_factory=dict)
    upstream: Counter[str] = field(default_factory=Counter)
    odd: Counter[int] = field(default_factory=Counter)


async def mixed(it: Real, proxy: str, *, requests: int, parallel: int) -> Seen:
    """Ask so often, as clients of several kinds with several requests at once, and tell what they saw."""
    keys = [(client.key, client.key_id) for client in it.clients]
    tight = [it.make_client(tier=_TIGHT) for _ in range(len(keys) // 3 + 1)]
    keys += [*tight, ("no key of ours", "")]
    seen = Seen()
    left = requests

    async def ask(key: str, key_id: str) -> None:
        nonlocal left
        caller, found = Caller(it.ports[proxy], key), seen.clients.setdefault(key_id, Counter())
        while left > 0:
            left -= 1
            (behaviour,) = random.choices([*_WEIGHTS], weights=[*_WEIGHTS.values()])
            reply = await caller.ask(behaviour)
            try:
                code = Code.ALLOWED if reply.status == 200 else Code(json.loads(reply.body)["code"])
            except (ValueError, KeyError):
                seen.odd[reply.status] += 1
            else:
                found[OUTCOME_NAMES[POSITIONS[code]]] += 1
        await caller.close()

    it.upstream.forget()
    await asyncio.gather(*(ask(*keys[number % len(keys)]) for number in range(parallel)))
    seen.upstream.update(headers["x-auth-key-id"] for _, headers in it.upstream.requests)
    return seen


def told(it: Real, **query: str) -> Counts:
    """Return what usage says of each group."""
    it.node.close()
    asked = "&".join(f"{name}={value}" for name, value in {"limit": "100", **query}.items())
    answer = it.node.admin("GET", f"/usage?{asked}", key=it.admin_key)
    assert answer.status == 200, answer.body
    return {
        series["group"]: +Counter({name: series["total"][name] for name in OUTCOME_NAMES})
        for series in answer.body["series"]
    }


def ended(it: Real) -> int:
    """Return of how many requests usage says how they ended upstream: of those with a lease."""
    it.node.close()
    (series,) = it.node.admin("GET", "/usage?tier=default", key=it.admin_key).body["series"]
    upstream = series["total"]["upstream"]
    assert upstream["2xx"] == upstream["reported"]
    return int(upstream["reported"])


async def agreed(it: Real, seen: Seen) -> Counts:
    """Return what usage says by key, once it has as many requests as the clients sent, and their ends.

    What the start of the proxies sent is added to what clients saw.
    """
    seen.clients[""] = seen.clients.get("", Counter()) + _BEFORE
    wanted = sum(found.total() for found in seen.clients.values())
    leased = sum(seen.upstream[client.key_id] for client in it.clients)

    def has_all() -> bool:
        counted = sum(found.total() for found in told(it, by="key").values())
        return counted >= wanted and ended(it) >= leased

    await eventually(has_all, within=_AGREED_WITHIN)
    return told(it, by="key")


def differences(it: Real, seen: Seen, by_key: Counts) -> list[str]:
    """Return all that does not agree."""
    wrong = [f"{number} answers {status} were no decision" for status, number in seen.odd.items()]
    # Of what failed nobody looked whose it was.
    failed = sum(found.pop("failed", 0) for found in seen.clients.values())
    if by_key.setdefault("", Counter()).pop("failed", 0) != failed:
        wrong.append(f"{failed} failed for clients")
    for key_id in {*seen.clients, *by_key}:
        client, usage = seen.clients.get(key_id, Counter()), by_key.get(key_id, Counter())
        if client != usage:
            wrong.append(f"key {key_id!r}: clients saw {dict(client)}, usage has {dict(usage)}")
        if seen.upstream[key_id] != usage["allowed"]:
            wrong.append(f"key {key_id!r}: the upstream saw {seen.upstream[key_id]}, usage has {dict(usage)}")
    total: Counter[str] = sum(seen.clients.values(), Counter(failed=failed))
    for by in ("none", "user", "route", "tier"):
        found: Counter[str] = sum(told(it, by=by).values(), Counter())
        if +found != +total:
            wrong.append(f"by {by}: clients saw {dict(total)}, usage has {dict(found)}")
    leased = sum(seen.upstream[client.key_id] for client in it.clients)
    if ended(it) != leased:
        wrong.append(f"{leased} with a lease reached the upstream, usage has the ends of {ended(it)}")
    return wrong


def main() -> int:
    """Run it; see the module."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--proxy", choices=("envoy", "nginx"), default="nginx")
    for name, default in {"workers": 1, "clients": 12, "parallel": 48, "requests": 100_000}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="extauth-mixed-"))
    folder.chmod(0o755)
    with real(folder, workers=given.workers, clients=given.clients, maximum=MAXIMUM, **SECTIONS) as it:
        began = time.monotonic()
        seen = asyncio.run(mixed(it, given.proxy, requests=given.requests, parallel=given.parallel))
        took = time.monotonic() - began
        total: Counter[str] = sum(seen.clients.values(), Counter())
        by_key = asyncio.run(agreed(it, seen))
        sys.stdout.write(f"{total.total()} requests in {took:.0f} s: {dict(total)}\n")
        sys.stdout.write(f"the upstream saw {seen.upstream.total()}\n")
        wrong = differences(it, seen, by_key)
    sys.stdout.write("\n".join(wrong or ["the same"]) + "\n")
    shutil.rmtree(folder)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
