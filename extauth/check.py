"""The hot path: one check, from the proxy's question to a decision. It knows no HTTP, no SQL and no JSON.

`decide` is synchronous and answers while everything it needs is at hand. Where limits are shared with other
servers, it says what the store has to be asked, and `conclude` has the decision. Only a key that was not seen
before has to wait: for `decide_later`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from extauth.abuse.decisions import BanDecisions
from extauth.abuse.monitor import NO_RULES, AbuseMonitor
from extauth.callers import Caller, Plans
from extauth.clock import MICROSECONDS, Clock
from extauth.decisions import RETRY_SECONDS, counted, lacking, limited
from extauth.errors import OverloadedError, StoreError
from extauth.failure import FailurePolicy, unavailable
from extauth.keys.directory import KeyDirectory, Rejection
from extauth.limits.plan import PLAIN_CHARGE, Plan
from extauth.limits.spent import Spent
from extauth.model import CheckRequest, Code, Decision
from extauth.parts import part
from extauth.patience import Patience
from extauth.routes import Access, Route, RouteTable
from extauth.stores.limits import LimitStore, OnTold, Queue, SharedLimitStore, Taken, Told
from extauth.throttle.claims import Claim, Claims
from extauth.throttle.leases import Leases

# A record that is another each time the store is asked about it is the store's fault.
_ATTEMPTS = 5

# Looking a member up in its enumeration costs more than comparing it.
_REQUIRED = Access.REQUIRED
_COOLING_DOWN = Code.COOLING_DOWN


class Asked(NamedTuple):
    """What the shared store has to be asked: whether the key is as remembered, and if so to take the plan.

    `foreseen` is the refusal that stands if the key is as remembered. `caller` is None without a key. `claim`
    is that of a check that needs slots; `taken` says for which it waits, where the limits are this server's.
    """

    caller: Caller | None
    route: Route
    plan: Plan
    foreseen: Decision | None = None
    claim: Claim | None = None
    taken: Taken | None = None

    @property
    def part(self) -> str:
        """What it waits for, as traces call it."""
        return "store" if self.taken is None else "slot"


class Checker:
    """Decides about requests. Wired once in `app.py`; used from one event loop.

    With a `shared` store limits are taken there, else from `limits`; then a check waits for the store no
    longer than `deadline_seconds`, whatever it has to ask. Without `abuse` nobody is banned. `claims` names
    those that need slots, which end as `leases`; for slots of `limits` they wait in the `queue`.

    Once it is `retired`, another one has taken its place, and it ends the checks that it began by its own
    settings. A caller that is looked up by then was compiled for others, so `recompile` makes another of it.
    """

    def __init__(
        self,
        *,
        routes: RouteTable,
        keys: KeyDirectory[Caller],
        limits: LimitStore,
        plans: Plans,
        clock: Clock,
        failure: FailurePolicy,
        shared: SharedLimitStore | None = None,
        abuse: AbuseMonitor | None = None,
        leases: Leases | None = None,
        queue: Queue | None = None,
        claims: Claims | None = None,
        deadline_seconds: float = 0.05,
        recompile: Callable[[Caller], Caller] = lambda caller: caller,
    ) -> None:
        self._verdicts = routes.verdicts
        self._keys = keys
        self._recall = keys.recall if shared is None else keys.recognise
        self._acquire = limits.acquire
        self._violate = limits.violate
        self._anonymous = plans
        self._now_us = clock.now_us
        self._failure = failure
        self._leases = leases
        self._queue = queue
        self._claims = claims or Claims()
        self._abuse = BanDecisions(abuse or AbuseMonitor(NO_RULES), keys)
        self._bans = self._abuse.in_force
        self._shared = shared
        self._deadline = deadline_seconds
        self._recompile = recompile
        self.retired = False

    def decide(
        self,
        request: CheckRequest,
        now_us: int,
        caller: Caller | Rejection | None = None,
        claim: Claim | None = None,
    ) -> Decision | Asked | None:
        """Return the decision, or what to ask; None where the key has to be looked up: see `decide_later`."""
        _, target, credential, _, _, _, ambiguous, _ = request
        # 1. The first rule that matches the target applies.
        route = self._verdicts[target]
        # 2. Is the address banned? Then nobody gets any further whose key was not issued here.
        if self._bans and (banned := self._abuse.of_address(request, route, caller, now_us)):
            return banned
        # 3. What can be read two ways is refused; some routes ask for nobody, or let nobody in.
        if route.access is not _REQUIRED or ambiguous is not None:
            decision = self._decide_without_key(request, route, now_us)
            if decision is not None:
                return decision
        # 4. Without a key there is nobody to let in.
        if credential is None:
            return Decision(Code.MISSING_KEY, route=route.name)
        # 5. Whose key is it? None where neither cache nor tag can say.
        if caller is None and (caller := self._recall(credential)) is None:
            return None
        if isinstance(caller, Rejection):
            return self._abuse.of_rejection(caller, request, route, now_us)
        # 6. Did an operator ban the key, or its user? May it be used at all, at this moment?
        if self._bans or now_us >= caller.good_until_us:
            outcome = self._unusable(caller, request, route, now_us)
            if outcome is not None:
                return outcome
        # 7. May it do this?
        if route.scopes and caller.missing_scopes[route]:
            return self._foreseen(caller, route, lacking(caller, route), now_us)
        # 8. Is it within its limits? All of them are taken in one step, or none.
        plan = caller.plan if route.charge is PLAIN_CHARGE else caller.all_plans()[route.charge]
        if plan is None:
            plan = caller.all_plans().at(route.charge, request.client_ip)
        # 9. One that is counted while it is in flight needs a slot in the same step, or waits for it.
        return self._within_limits(caller, route, plan, now_us, request, claim=claim)

    def _unusable(
        self, caller: Caller, request: CheckRequest, route: Route, now_us: int
    ) -> Decision | Asked | None:
        if self._bans and (banned := self._abuse.of_key(caller, route, now_us)):
            return banned
        if now_us < caller.good_until_us:
            return None
        decision = self._abuse.of_unusable(caller, request, route, now_us)
        return self._foreseen(caller, route, decision, now_us)

    def _in_flight(
        self, caller: Caller | None, route: Route, plan: Plan, now_us: int, claim: Claim
    ) -> Decision | Asked:
        if plan.spent is not None and (spent := plan.refused_again(now_us)):
            decision = self._repeated(caller, route, plan, spent, now_us)
            if decision is not None:
                return decision
        if self._shared is not None:
            return self._to_ask(Asked(caller, route, plan, None, claim), now_us)
        taken = self._acquire(plan, now_us, claim)
        if taken.blocked is not None and taken.blocked.waits:
            return Asked(caller, route, plan, None, claim, taken)
        return counted(caller, route, plan, taken, now_us)

    def _within_limits(
        self,
        caller: Caller | None,
        route: Route,
        plan: Plan,
        now_us: int,
        request: CheckRequest,
        *,
        claim: Claim | None = None,
    ) -> Decision | Asked:
        if plan.places:
            return self._in_flight(caller, route, plan, now_us, claim or self.claim(request))
        # What refused a moment ago does so again.
        if plan.spent is not None and (spent := plan.refused_again(now_us)):
            decision = self._repeated(caller, route, plan, spent, now_us)
            if decision is not None:
                return decision
        if self._shared is not None:
            return self._to_ask(tuple.__new__(Asked, (caller, route, plan, None, None, None)), now_us)
        return counted(caller, route, plan, self._acquire(plan, now_us), now_us)

    def _repeated(
        self, caller: Caller | None, route: Route, plan: Plan, spent: Spent, now_us: int
    ) -> Decision | None:
        """Refuse again, unless that is one violation too many: then the cool-down has to be looked at."""
        if plan.cool_down is not None and spent.code is not _COOLING_DOWN:
            # Whoever goes on past that violates the cool-down.
            if self._shared is not None:
                self._shared.violate(plan)
            elif not self._violate(plan.cool_down, now_us).allowed:
                return None
        return limited(caller, route, plan, spent)

    def _foreseen(self, caller: Caller, route: Route, decision: Decision, now_us: int) -> Decision | Asked:
        """A refusal of a key that others may have changed meanwhile has to be confirmed."""
        if self._shared is None:
            return decision
        return self._to_ask(Asked(caller, route, caller.plan_of_nothing(), decision), now_us)

    def _to_ask(self, asked: Asked, now_us: int) -> Decision | Asked:
        """Nobody waits for a store that is known not to answer."""
        assert self._shared is not None  # nothing is asked otherwise
        if not self._shared.trouble:
            return asked
        decision = self.conclude(asked, StoreError(self._shared.trouble), now_us)
        assert decision is not None  # only an answer can tell that a key has changed
        return decision

    def _decide_without_key(
        self, request: CheckRequest, route: Route, now_us: int
    ) -> Decision | Asked | None:
        """Decide where the key plays no part; None where it does."""
        if route.access is Access.AMBIGUOUS:
            return Decision(Code.AMBIGUOUS_PATH)
        if request.ambiguous is not None:
            return Decision(request.ambiguous, route=route.name)
        if route.access is Access.DENIED:
            return Decision(Code.ROUTE_DENIED, route=route.name)
        if route.access is Access.REQUIRED or (
            route.access is Access.OPTIONAL and request.credential is not None
        ):
            return None
        plan = self._anonymous[route.charge] or self._anonymous.at(route.charge, request.client_ip)
        if not plan.all_takes and not plan.places:
            return Decision(Code.ALLOWED, route=route.name)
        return self._within_limits(None, route, plan, now_us, request)

    def ask(self, asked: Asked, on_told: OnTold) -> None:
        """Ask the shared store; `on_told` gets what it says, within the store's deadline.

        Where the limits are this server's, only a check that waits for a slot has anything to ask.
        """
        caller, _, plan, _, claim, taken = asked
        if self._shared is not None:
            self._shared.ask(plan, caller, on_told, claim)
        else:
            assert self._queue is not None
            assert claim is not None
            assert taken is not None  # see `_in_flight`
            self._queue.wait(plan, claim, taken, on_told)

    def conclude(self, asked: Asked, told: Told, now_us: int) -> Decision | None:
        """Return the decision once the store has spoken; None where the key changed: see `decide_later`."""
        caller, route, plan, foreseen, claim, _ = asked
        if isinstance(told, StoreError):
            claim = None if claim is None or claim.gone else claim
            if caller is None:
                return self._failure.without_key(route, plan, now_us, str(told), claim)
            why = str(told)
            return self._failure.with_caller(caller, route, plan, foreseen, now_us, why=why, claim=claim)
        if told is None:
            assert caller is not None  # nothing else has a version
            self._keys.forget(caller.key_id)
            return None
        if caller is None:
            return counted(None, route, plan, told, now_us)
        if claim is not None and told.lease and self._has_changed(caller, now_us):
            # It waited for its slot: who comes out of the queue is judged as whoever comes now.
            self._let_go(claim, told.lease)
            return None
        caller.confirmed_us = told.asked_us or now_us
        return foreseen or counted(caller, route, plan, told, now_us)

    def crowded_out(self, request: CheckRequest) -> Decision:
        """Refuse a check that would have to wait, where too many wait already."""
        route = self._verdicts[request.target]
        return Decision(
            Code.OVERLOADED, route=route.name, retry_after=RETRY_SECONDS, reason="too many checks wait"
        )

    def claim(self, request: CheckRequest) -> Claim:
        """Return the claim of a check, for whoever wants to tell it that nobody waits any more."""
        return self._claims.new(request.request_id)

    async def decide_later(self, request: CheckRequest, claim: Claim, waited_us: int = 0) -> Decision:
        """Look the key up and decide: for a check that `decide` or `conclude` had no answer for.

        `waited_us` is how long it has waited for the store by now.
        """
        decision = await self._look_up(request, claim, waited_us)
        if decision.lease and claim.gone:
            self._let_go(claim, decision.lease)
        return decision

    def _has_changed(self, caller: Caller, now_us: int) -> bool:
        """Tell whether a key may not be used any more; a shared store has compared its version."""
        return now_us >= caller.good_until_us or (self._shared is None and not self._keys.is_current(caller))

    def _let_go(self, claim: Claim, lease: str) -> None:
        if self._leases is not None:
            self._leases.let_go(claim, lease)

    async def _look_up(self, request: CheckRequest, claim: Claim, waited_us: int) -> Decision:
        route = self._verdicts[request.target]
        patience = Patience(min(max(self._deadline - waited_us / MICROSECONDS, 0.0), self._deadline))
        assert request.credential is not None  # `decide` has answered all others
        for _ in range(_ATTEMPTS):
            try:
                caller = await self._keys.identify(
                    request.credential,
                    patience=None if self._shared is None else patience,
                    address=request.client_ip,
                )
            except OverloadedError as error:
                return Decision(
                    Code.OVERLOADED, route=route.name, retry_after=error.retry_after, reason=str(error)
                )
            except StoreError as error:
                return self._failure.unseen(self._keys.claimed_id(request.credential), route, str(error))
            if self.retired and isinstance(caller, Caller):
                caller = self._recompile(caller)
            decision = self.decide(request, self._now_us(), caller, claim)
            if isinstance(decision, Asked):
                with part(decision.part):
                    told = await self._hear(decision, patience)
                decision = self.conclude(decision, told, self._now_us())
            if decision is not None:
                return decision
        return unavailable(route, "the record of the key is another each time it is read")

    async def _hear(self, asked: Asked, patience: Patience) -> Told:
        heard: asyncio.Future[Told] = asyncio.get_running_loop().create_future()

        def hear(told: Told) -> None:
            if not heard.done():
                heard.set_result(told)

        self.ask(asked, hear)
        if asked.claim is not None:
            # What it waits for isn't the store, which keeps its deadline for each question.
            return await heard
        try:
            return await patience.wait_for(heard)
        except StoreError as error:
            return error
