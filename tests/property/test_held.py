"""What is known of limits that refused changes no decision, spares the shared store, and stays small."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauth import callers
from extauth.callers import Caller
from extauth.check import Asked
from extauth.limits.plan import Plan
from extauth.limits.spent import HELD_FOR_US, KNOWN_FOR_US
from extauth.model import Code, Decision
from tests.checking import request_for
from tests.property.limit_strategies import COOL_DOWNS
from tests.sharing import SharedRig

RATES = st.lists(
    st.sampled_from(["1/3ms", "400/second burst 2", "3/10ms", "2/1500ms", "5/minute"]),
    min_size=1,
    max_size=3,
    unique=True,
)
# How far the store's clock is from the server's, how long it takes there and back, and time between requests.
AHEAD_US = st.integers(-5_000_000, 5_000_000)
TRAVEL_US = st.integers(0, 3_000) | st.integers(0, 60_000)
MOVES_US = st.lists(
    st.integers(0, 2_000) | st.integers(0, 3 * KNOWN_FOR_US) | st.integers(0, 3 * HELD_FOR_US), max_size=60
)


@given(RATES, COOL_DOWNS, AHEAD_US, st.tuples(TRAVEL_US, TRAVEL_US), MOVES_US)
def test_it_changes_no_decision(
    rates: list[str],
    cool_down: dict[str, Any] | None,
    ahead_us: int,
    travel_us: tuple[int, int],
    moves_us: list[int],
) -> None:
    """Whoever is refused without asking would be refused by the store at that moment, by the same limits."""

    async def run() -> None:
        rig = SharedRig(tiers={"default": {"rates": rates, "cool_down": cool_down}})
        rig.shared.ahead_us, (rig.shared.there_us, rig.shared.back_us) = ahead_us, travel_us
        try:
            text, key = await rig.issue()
            await rig.ask(key=text)
            caller = await rig.records.current(key.key_id)
            assert isinstance(caller, Caller)
            assert caller.plan is not None
            for move_us in moves_us:
                rig.clock.advance(microseconds=move_us)
                now_us = rig.clock.now_us()
                # It may begin a cool-down itself, of which only the next is told.
                expected = rig.shared.violated(caller.plan)
                decision = rig.checker.decide(request_for(key=text), now_us)
                if isinstance(decision, Decision):
                    waits = [
                        usage.retry_us for usage in (await rig.shared.look(caller.plan)).usages(caller.plan)
                    ]
                    cools = "cool-down" in expected
                    assert decision.code is (Code.COOLING_DOWN if cools else Code.RATE_LIMITED)
                    # Of those that refuse beside a cool-down, some may be taken to have room too early.
                    assert decision.violated == expected or (cools and {*decision.violated} < {*expected})
                    assert len(waits) == len(rates) + (cool_down is not None)
                else:
                    assert isinstance(decision, Asked)
                    await rig.ask(key=text)
        finally:
            rig.hasher.close()

    asyncio.run(run())


def test_a_flood_against_a_spent_limit_asks_the_store_once_a_second() -> None:
    """A thousand checks a second for ten seconds."""

    async def run() -> None:
        rig = SharedRig(tiers={"default": {"rates": ["2/hour"]}})
        try:
            text, _ = await rig.issue()
            for _ in range(2):
                assert (await rig.ask(key=text)).code is Code.ALLOWED
            rig.shared.asked = 0
            for _ in range(10_000):
                assert (await rig.ask(key=text)).code is Code.RATE_LIMITED
                rig.clock.advance(microseconds=1_000)
            assert rig.shared.asked <= 11
        finally:
            rig.hasher.close()

    asyncio.run(run())


def test_a_flood_against_a_cool_down_asks_the_store_once_a_minute() -> None:
    """Nor is anything of it counted. Whoever stops for as long as told passes."""

    async def run() -> None:
        cool_down = {"violations": 20, "cool_down": "2m"}
        rig = SharedRig(tiers={"default": {"rates": ["1/second"], "cool_down": cool_down}})
        try:
            text, _ = await rig.issue()
            assert (await rig.ask(key=text)).code is Code.ALLOWED
            codes = [(await rig.ask(key=text)).code for _ in range(21)]
            assert codes == [Code.RATE_LIMITED] * 20 + [Code.COOLING_DOWN]
            rig.shared.asked = rig.shared.violations = 0
            for _ in range(11_000):
                assert (await rig.ask(key=text)).code is Code.COOLING_DOWN
                rig.clock.advance(microseconds=10_000)
            assert rig.shared.asked <= 2
            assert rig.shared.violations == 0
            decision = await rig.ask(key=text)
            assert (decision.code, decision.retry_after) == (Code.COOLING_DOWN, 10)
            rig.clock.advance(microseconds=decision.retry_after * 1_000_000 - 1)
            assert (await rig.ask(key=text)).code is Code.COOLING_DOWN
            rig.clock.advance(microseconds=1)
            assert (await rig.ask(key=text)).code is Code.ALLOWED
        finally:
            rig.hasher.close()

    asyncio.run(run())


def test_a_flood_passes_as_soon_as_the_store_would_let_it() -> None:
    """What is held on to ends with the first limit that could pass."""

    async def run() -> None:
        rig = SharedRig(tiers={"default": {"rates": ["2/second burst 2"]}})
        try:
            text, _ = await rig.issue()
            passed = 0
            for _ in range(3_000):
                passed += (await rig.ask(key=text)).code is Code.ALLOWED
                rig.clock.advance(microseconds=1_000)
            assert passed == 2 + 5
            assert rig.shared.asked <= passed * 2
        finally:
            rig.hasher.close()

    asyncio.run(run())


def test_a_key_that_changes_is_noticed_within_a_second_of_a_flood() -> None:
    """Whoever is refused for a limit hears of the revocation when the store is asked next."""

    async def run() -> None:
        rig = SharedRig(tiers={"default": {"rates": ["1/hour"]}})
        try:
            text, key = await rig.issue()
            for _ in range(2):
                await rig.ask(key=text)
            del rig.store._stored[key.key_id]
            assert (await rig.ask(key=text)).code is Code.RATE_LIMITED
            rig.clock.advance(microseconds=HELD_FOR_US)
            assert (await rig.ask(key=text)).code is Code.INVALID_KEY
        finally:
            rig.hasher.close()

    asyncio.run(run())


def test_what_is_held_on_to_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many addresses flood against their limits."""
    monkeypatch.setattr(callers, "_ADDRESSES_WITHOUT_A_KEY", 50)

    async def run() -> None:
        sections = {"routes": [{"path": "/**", "auth": "none"}], "limits": {"anonymous": ["1/hour"]}}
        rig = SharedRig(**sections)  # type: ignore[arg-type]  # sections of all kinds
        try:
            for number in range(1_000):
                request = request_for()._replace(client_ip=f"192.0.{number // 250}.{number % 250}")
                await rig.decide(request)
                assert (await rig.decide(request)).code is Code.RATE_LIMITED
            gc.collect()
            holding = [one for one in gc.get_objects() if isinstance(one, Plan) and one.held is not None]
            assert 10 < len(holding) <= 110
        finally:
            rig.hasher.close()

    asyncio.run(run())
