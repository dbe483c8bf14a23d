"""A refusal that is repeated without looking at the limits again is what looking would have given."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from extauth.callers import Caller
from extauth.limits.spent import KNOWN_FOR_US
from extauth.model import Code, Decision
from extauth.stores.limits import Taken
from extauth.stores.memory import MemoryLimitStore
from tests.checking import Rig
from tests.limits import told_by
from tests.property.limit_strategies import COOL_DOWNS

# Most of them within the time for which a refusal is remembered, others long after it or back in time.
MOVES_US = st.lists(
    st.integers(0, 2_000) | st.integers(0, 3 * KNOWN_FOR_US) | st.integers(-5_000_000, 5_000_000),
    max_size=80,
)
RATES = st.lists(
    st.sampled_from(["1/3ms", "400/second burst 2", "3/10ms", "2/1500ms", "5/minute"]),
    min_size=1,
    max_size=3,
    unique=True,
)


@given(RATES, COOL_DOWNS, MOVES_US)
def test_it_changes_no_decision(
    rates: list[str], cool_down: dict[str, Any] | None, moves_us: list[int]
) -> None:
    """Each request is allowed, or refused by the same limits, as by a store that is asked every time."""

    async def run() -> None:
        rig = Rig(tiers={"default": {"rates": rates, "cool_down": cool_down}})
        try:
            text, key = await rig.issue()
            caller = await rig.records.current(key.key_id)
            assert isinstance(caller, Caller)
            assert caller.plan is not None
            asked_always = MemoryLimitStore()
            for move_us in moves_us:
                rig.clock.advance(microseconds=move_us)
                exact = asked_always.acquire(caller.plan, rig.clock.now_us())
                _compare(await rig.ask(key=text), exact)
        finally:
            rig.hasher.close()

    asyncio.run(run())


def _compare(decision: Decision, exact: Taken) -> None:
    refusing = [usage for usage in told_by(exact) if not usage.allowed]
    assert decision.violated == tuple(usage.limit.name for usage in refusing)
    refused = Code.COOLING_DOWN if "cool-down" in decision.violated else Code.RATE_LIMITED
    assert decision.code is (refused if refusing else Code.ALLOWED)
    if refusing:
        wait = -(-max(usage.retry_us for usage in refusing) // 1_000_000)
        # Never too early, and by one whole second too late at most, where a second has just passed.
        assert wait <= decision.retry_after <= wait + 1
