"""What tests of bans share: keys that are no good, and what follows from many of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from extauth.keys.token import parse_key
from extauth.model import Code, Decision
from extauth.stores.bans import Ban, Origin
from tests.checking import Rig
from tests.directory import with_wrong_secret
from tests.keys import PEPPERS

HERE = "192.0.2.7"
ELSEWHERE = "198.51.100.9"
ABUSE: dict[str, Any] = {
    "per_address": {"failures": 5, "window": "1m", "ban": "1m", "longest": "4m"},
    "per_key": {"failures": 3, "window": "1m", "ban": "1m", "longest": "4m"},
}
# An address spends its budget later than a key id: so each can be looked at by itself.
PATIENT_ADDRESSES: dict[str, Any] = {**ABUSE, "per_address": {"failures": 1_000_000}}


def with_rig(scenario: Callable[[Rig], Awaitable[None]], rig: type[Rig] = Rig, **sections: Any) -> None:
    """Run a scenario on a checker with small budgets."""

    async def run() -> None:
        made = rig(**{"abuse": ABUSE, **sections})
        try:
            await scenario(made)
        finally:
            made.hasher.close()

    asyncio.run(run())


def wrong(text: str, number: int = 0) -> str:
    """Return a key of the same id with another secret, under a right tag: only who has a pepper can."""
    key = parse_key(with_wrong_secret(parse_key(text)).decode())
    body = key.body[:-8] + f"{number:08}"
    return body + PEPPERS.tag(body)


async def fail(rig: Rig, times: int, *, address: str = HERE) -> list[Decision]:
    """Send keys that are none."""
    return [await rig.ask(key=f"no-key-{number}", client_ip=address) for number in range(times)]


async def guess(rig: Rig, text: str, times: int, *, address: str = HERE, first: int = 0) -> list[Code]:
    """Send wrong secrets for a key, each another one."""
    numbers = range(first, first + times)
    return [(await rig.ask(key=wrong(text, number), client_ip=address)).code for number in numbers]


def order(rig: Rig, subject: str, *, seconds: int = 60) -> None:
    """Ban as an operator."""
    now_us = rig.clock.now_us()
    rig.abuse.in_force[subject] = Ban(subject, Origin.MANUAL, now_us, now_us + seconds * 1_000_000)
