"""The hot path: one check, from the proxy's question to a decision. It knows no HTTP, no SQL and no JSON.

`decide` is synchronous and answers while everything it needs is at hand. Where limits are shared with other
servers, it says what the store has to be asked, and `conclude` has the decision. Only a key that was not seen
before has to wait: for `decide_later`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from extauth.abuse.monitor import NO_RULES, AbuseMonitor, kind_of, seconds_left
from extauth.callers import Caller, Plans
from extauth.clock import MICROSECONDS, Clock
from extauth.errors import OverloadedError, StoreError
from extauth.failure import RETRY_SECONDS, FailurePolicy, unavailable
from extauth.keys.directory import KeyDirectory, Rejection
from extauth.limits.plan import PLAIN_CHARGE, Plan
from extauth.limits.spent import Spent, spent_by
from extauth.model import ApiKey, CheckRequest, Code, Decision
from extauth.patience import Patience
from extauth.routes import Access, Route, RouteTable
from extauth.stores.bans import Ban, Origin
from extauth.stores.limits import LimitStore, OnTold, SharedLimitStore, Taken, Told

# A record that is another each time the store is asked about it is the store's fault.
_ATTEMPTS = 5

# Looking a member up in its enumeration costs more than comparing it.
_ALLOWED = Code.ALLOWED
_COOLING_DOWN = Code.COOLING_DOWN
_REQUIRED = Access.REQUIRED
_MANUAL = Origin.MANUAL


class Asked(NamedTuple):
    """What the shared store has to be asked: whether the key is as remembered, and if so to take the plan.

    `foreseen` is the refusal that stands if the key is as remembered. `caller` is None without a key.
    """

    caller: Caller | None
    route: Route
    plan: Plan
    foreseen: Decision | None = None


class Checker:
    """Decides about requests. Wired once in `app.py`; used from one event loop.

    With a `shared` store limits are taken there, else from `limits`; then a check waits for the store no
    longer than `deadline_seconds`, whatever it has to ask. Without `abuse` nobody is banned.

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
        deadline_seconds: float = 0.05,
        recompile: Callable[[Caller], Caller] = lambda caller: caller,
    ) -> None:
        self._verdicts = routes.verdicts
        self._keys = keys
        self._recall = keys.recall if shared is None else keys.recognise
        self._acquire = limits.acquire
        self._anonymous = plans
        self._now_us = clock.now_us
        self._failure = failure
        self._abuse = abuse or AbuseMonitor(NO_RULES)
        self._bans = self._abuse.in_force
        self._shared = shared
        self._deadline = deadline_seconds
        self._recompile = recompile
        self.retired = False

    def decide(
        self, request: CheckRequest, now_us: int, caller: Caller | Rejection | None = None
    ) -> Decision | Asked | None:
        """Return the decision, or what to ask; None where the key has to be looked up first.

        Then `decide_later` has it. `caller` is given once that has happened.
        """
        # 1. The first rule that matches the target applies.
        route = self._verdicts[request.target]
        # 2. Is the address banned? Then nobody gets any further whose key was not found good before.
        if self._bans and (ban := self._ban_of_address(request, caller, now_us)):
            return self._banned(ban, route, now_us)
        # 3. A target or a credential that can be read two ways is refused; some routes ask for nobody, or let
        # nobody in.
        if route.access is not _REQUIRED or request.ambiguous is not None:
            decision = self._decide_without_key(request, route, now_us)
            if decision is not None:
                return decision
        # 4. Without a key there is nobody to let in.
        if request.credential is None:
            return Decision(Code.MISSING_KEY, route=route.name)
        # 5. Whose key is it? None where neither cache nor tag can say.
        if caller is None:
            caller = self._recall(request.credential)
            if caller is None:
                return None
        if isinstance(caller, Rejection):
            return self._rejected(caller, request, route, now_us)
        # 6. Did an operator ban the key, or its user?
        if self._bans and (ban := self._abuse.of_key(caller.key, now_us)):
            return self._banned(ban, route, now_us, caller.key.key_id)
        # 7. May the key be used at all, at this moment?
        if caller.blocked or now_us >= caller.expires_us or caller.fault:
            return self._foreseen(caller, route, self._refused(caller, request, route, now_us), now_us)
        # 8. May it do this?
        key = caller.key
        if route.scopes and caller.missing_scopes[route]:
            return self._foreseen(caller, route, _lacking(key, route), now_us)
        # 9. Is it within its limits? All of them are taken in one step, or none.
        plan = caller.plan if route.charge is PLAIN_CHARGE else caller.plans[route.charge]
        if plan is None:
            plan = caller.plans.at(route.charge, request.client_ip)
        return self._within_limits(key, caller, route, plan, now_us)

    def _ban_of_address(
        self, request: CheckRequest, caller: Caller | Rejection | None, now_us: int
    ) -> Ban | None:
        ban = self._abuse.of_address(request.client_ip, now_us)
        if ban is None or ban.origin is _MANUAL:
            return ban
        # Others may have failed at the same address: who holds a good key is not to suffer for them.
        if isinstance(caller, Caller):
            is_good = not caller.refusal(now_us)
        else:
            credential = request.credential
            is_good = credential is not None and self._keys.is_good(credential, now_us)
        return None if is_good else ban

    def _banned(self, ban: Ban, route: Route, now_us: int, key_id: str = "") -> Decision:
        self._abuse.refusals[kind_of(ban)] += 1
        wait = seconds_left(ban, now_us)
        return Decision(_COOLING_DOWN, None, key_id, route.name, retry_after=wait, reason="banned")

    def _rejected(self, rejection: Rejection, request: CheckRequest, route: Route, now_us: int) -> Decision:
        reason, key_id, wait = rejection
        if wait:
            self._abuse.refusals["key"] += 1
            return Decision(_COOLING_DOWN, None, key_id, route.name, retry_after=wait, reason=reason)
        self._abuse.failed(request.client_ip, reason, now_us)
        return Decision(Code.INVALID_KEY, key_id=key_id, route=route.name, reason=reason)

    def _refused(self, caller: Caller, request: CheckRequest, route: Route, now_us: int) -> Decision:
        key_id = caller.key.key_id
        if reason := caller.refusal(now_us):
            self._abuse.failed(request.client_ip, reason, now_us)
            return Decision(Code.INVALID_KEY, key_id=key_id, route=route.name, reason=reason)
        return Decision(
            Code.INTERNAL_ERROR,
            key_id=key_id,
            route=route.name,
            retry_after=RETRY_SECONDS,
            reason=caller.fault,
        )

    def _within_limits(
        self, key: ApiKey | None, caller: Caller | None, route: Route, plan: Plan, now_us: int
    ) -> Decision | Asked:
        # What refused a moment ago does so again.
        if plan.spent is not None and (spent := plan.refused_again(now_us)):
            return _limited(key, route, plan, spent)
        if self._shared is not None:
            return self._to_ask(tuple.__new__(Asked, (caller, route, plan, None)), now_us)
        return _counted(key, route, plan, self._acquire(plan, now_us), now_us)

    def _foreseen(self, caller: Caller, route: Route, decision: Decision, now_us: int) -> Decision | Asked:
        """A refusal of a key that others may have changed meanwhile has to be confirmed."""
        if self._shared is None:
            return decision
        return self._to_ask(Asked(caller, route, caller.nothing, decision), now_us)

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
        if not plan.all_takes:
            return Decision(Code.ALLOWED, route=route.name)
        return self._within_limits(None, None, route, plan, now_us)

    def ask(self, asked: Asked, on_told: OnTold) -> None:
        """Ask the shared store; `on_told` gets what it says, within the store's deadline."""
        assert self._shared is not None  # nothing is asked otherwise
        caller = asked.caller
        key_id, version = ("", 0) if caller is None else (caller.key.key_id, caller.key.version)
        self._shared.ask(asked.plan, key_id, version, on_told)

    def conclude(self, asked: Asked, told: Told, now_us: int) -> Decision | None:
        """Return the decision once the store has spoken; None where the key changed: see `decide_later`."""
        caller, route, plan, foreseen = asked
        if isinstance(told, StoreError):
            if caller is None:
                return self._failure.without_key(route, plan, now_us, str(told))
            return self._failure.with_caller(caller, route, plan, foreseen, now_us, why=str(told))
        if told is None:
            assert caller is not None  # nothing else has a version
            self._keys.forget(caller.key.key_id)
            return None
        if caller is None:
            return _counted(None, route, plan, told, now_us)
        caller.confirmed_us = now_us
        return foreseen or _counted(caller.key, route, plan, told, now_us)

    def crowded_out(self, request: CheckRequest) -> Decision:
        """Refuse a check that would have to wait, where too many wait already."""
        route = self._verdicts[request.target]
        return Decision(
            Code.OVERLOADED, route=route.name, retry_after=RETRY_SECONDS, reason="too many checks wait"
        )

    async def decide_later(self, request: CheckRequest, waited_us: int = 0) -> Decision:
        """Look the key up and decide: for a check that `decide` or `conclude` had no answer for.

        `waited_us` is how long it has waited for the store by now.
        """
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
            decision = self.decide(request, self._now_us(), caller)
            if isinstance(decision, Asked):
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
        try:
            return await patience.wait_for(heard)
        except StoreError as error:
            return error


def _lacking(key: ApiKey, route: Route) -> Decision:
    return Decision(Code.INSUFFICIENT_SCOPE, key, key.key_id, route.name, needed_scopes=route.scopes)


def _counted(key: ApiKey | None, route: Route, plan: Plan, taken: Taken, now_us: int) -> Decision:
    allowed, usages, shadowed = taken
    if not allowed:
        spent = spent_by(usages, now_us)
        if plan.held is not None:
            # A shared store looked some time ago.
            spent = spent._replace(until_us=min(spent.until_us, plan.held.until_us))
        plan.spent = spent
        return _limited(key, route, plan, spent)
    # The commonest decision is built without the named tuple's constructor, which takes twice as long.
    key_id = "" if key is None else key.key_id
    fields = (_ALLOWED, key, key_id, route.name, plan.limit_set, usages, (), 0, (), "", shadowed, "")
    return tuple.__new__(Decision, fields)


def _limited(key: ApiKey | None, route: Route, plan: Plan, spent: Spent) -> Decision:
    limit_set = plan.cooling_set if spent.code is _COOLING_DOWN else plan.limit_set
    told = (limit_set, spent.usages, spent.violated, spent.retry_after, (), "", (), "")
    key_id = "" if key is None else key.key_id
    return tuple.__new__(Decision, (spent.code, key, key_id, route.name, *told))
