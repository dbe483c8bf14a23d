"""A checker whose limits are shared, on stores that tests hold in their hands."""

from __future__ import annotations

import asyncio
from typing import Any

from extauth import compiled
from extauth.callers import Caller, plans_without_key
from extauth.check import Asked, Checker
from extauth.errors import StoreError
from extauth.failure import FailureModes, FailurePolicy
from extauth.keys.records import KeyRecords
from extauth.limits.plan import Plan
from extauth.limits.spent import cool, hold
from extauth.model import CheckRequest, Decision
from extauth.patience import Patience
from extauth.server.responder import Responder
from extauth.settings.model import Settings
from extauth.stores.limits import Known, OnTold, Seen
from extauth.stores.memory import MemoryLimitStore
from extauth.throttle.claims import Claim
from extauth.throttle.embedded import EmbeddedLeases
from tests.checking import Rig
from tests.fakes import FakeClock, MemoryKeyStore
from tests.limits import told_by

# The arguments of `FakeSharedLimits.ask`, and when it was asked.
_Unheard = tuple[Plan, Known | None, OnTold, int]


class FakeSharedLimits:
    """Limits in this process, that speak as those of Redis do. See `SharedLimitStore`.

    Its clock is `ahead_us` of the server's. `there_us` and `back_us` pass before and after it looks at what
    it is asked. While `failure` is set it answers that; while `deaf`, nothing: what it is asked is kept for
    `hear_again`.
    """

    def __init__(self, keys: MemoryKeyStore, clock: FakeClock) -> None:
        self.model = MemoryLimitStore()
        self.trouble = ""
        self.asked = self.violations = 0
        self.failure: StoreError | None = None
        self.deaf = False
        self.ahead_us = self.there_us = self.back_us = 0
        self._keys = keys
        self._clock = clock
        self._unheard: list[_Unheard] = []
        self.leases = EmbeddedLeases(self.model, clock)

    def now_us(self) -> int:
        """Return the time by its own clock."""
        return self._clock.now_us() + self.ahead_us

    def ask(self, plan: Plan, record: Known | None, on_told: OnTold, claim: Claim | None = None) -> None:
        """Take. See `SharedLimitStore`. It has no slots to give."""
        assert claim is None
        self.asked += 1
        asked = (plan, record, on_told, self._clock.now_us())
        if self.deaf:
            self._unheard.append(asked)
        else:
            asyncio.get_running_loop().call_soon(self._tell, *asked)

    def hear_again(self) -> None:
        """Answer what was asked while it was deaf, and all that comes."""
        self.deaf = False
        unheard, self._unheard = self._unheard, []
        for asked in unheard:
            asyncio.get_running_loop().call_soon(self._tell, *asked)

    def _tell(self, plan: Plan, record: Known | None, on_told: OnTold, asked_us: int) -> None:
        if self.failure is not None:
            on_told(self.failure)
            return
        self._clock.advance(microseconds=self.there_us)
        stored = None if record is None else self._keys._stored.get(record.key_id)
        if record is not None and (stored is None or stored.key.version != record.version):
            on_told(None)
            return
        now_us = self.now_us()
        taken = self.model.acquire(plan, now_us)
        if not taken.allowed:
            takes = (*plan.takes, plan.cool_down)[: len(told_by(taken))]
            states = tuple(self.model._states.get(take.bucket) for take in takes if take is not None)
            plan.held = hold(told_by(taken), states, asked_us=asked_us, store_now_us=now_us)
        self._clock.advance(microseconds=self.back_us)
        on_told(taken)

    def violate(self, plan: Plan) -> None:
        """Count a refusal at once, and tell the plan as Redis does. See `SharedLimitStore`."""
        assert plan.cool_down is not None
        assert plan.held is not None
        self.violations += 1
        now_us, asked_us = self.now_us(), self._clock.now_us()
        usage = self.model.violate(plan.cool_down, now_us)
        if not usage.allowed:
            state = self.model._states[plan.cool_down.bucket]
            times = {"asked_us": asked_us, "store_now_us": now_us}
            plan.held = cool(plan.held, len(plan.takes), state, usage.retry_us, **times)
            if plan.spent is not None:
                plan.spent = plan.spent._replace(until_us=plan.spent.since_us)

    def violated(self, plan: Plan) -> tuple[str, ...]:
        """Return the names of the limits that would refuse now."""
        return tuple(
            take.limit.name
            for take in (*plan.takes, *([] if plan.cool_down is None else [plan.cool_down]))
            if not take.step(self.model._states.get(take.bucket), take.numbers, self.now_us())[0]
        )

    async def look(self, plan: Plan) -> Seen:
        """Look. See `SharedLimitStore`."""
        return self.model.look(plan, self.now_us())

    async def reset(self, plan: Plan) -> None:
        """Forget. See `SharedLimitStore`."""
        self.model.reset(plan)
        plan.spent = plan.held = None

    async def close(self) -> None:
        """Nothing to let go of."""


class SharedRig(Rig):
    """A rig whose stores other servers share too. `modes` are what it does without them."""

    def __init__(self, *, modes: FailureModes | None = None, deadline: float = 0.05, **sections: Any) -> None:
        common = sections.pop("limits", {})
        super().__init__(**sections)
        self.settings = Settings.model_validate({**sections, "limits": common})
        self.store.is_shared = True
        self.shared = FakeSharedLimits(self.store, self.clock)
        planner = compiled.planner(self.settings)
        self.anonymous = plans_without_key(planner)
        self.records = KeyRecords(
            self.store, lambda key: Caller(key, planner), size=100, trouble=lambda: self.shared.trouble
        )
        self.keys._records = self.records
        self.keys._at_hand = self.records.at_hand
        self.failure = FailurePolicy(modes or FailureModes())
        self.checker = Checker(
            routes=self.routes,
            keys=self.keys,
            limits=self.limits,
            plans=self.anonymous,
            clock=self.clock,
            failure=self.failure,
            shared=self.shared,
            abuse=self.abuse,
            deadline_seconds=deadline,
        )
        self.responder = Responder(
            checker=self.checker,
            dialects=self.dialects,
            recorder=self.recorder,
            clock=self.clock,
            max_checks=self.settings.throttle.max_checks,
        )

    async def decide(self, request: CheckRequest) -> Decision:
        """Decide as the server does."""
        decision = self.checker.decide(request, self.clock.now_us())
        if isinstance(decision, Asked):
            told = await self.checker._hear(decision, Patience(5))
            decision = self.checker.conclude(decision, told, self.clock.now_us())
        if decision is None:
            decision = await self.checker.decide_later(request, self.checker.claim(request))
        assert isinstance(decision, Decision)
        return decision
