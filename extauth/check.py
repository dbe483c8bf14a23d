"""The hot path: one check, from the proxy's question to a decision. It knows no HTTP, no SQL and no JSON.

`decide` is synchronous and answers while everything it needs is at hand; only a key that was not seen before
has to wait.
"""

from __future__ import annotations

from extauth.callers import Caller
from extauth.clock import Clock
from extauth.errors import OverloadedError, StoreError
from extauth.keys.directory import KeyDirectory, Rejection
from extauth.limits.spent import Spent, spent_by
from extauth.model import CheckRequest, Code, Decision
from extauth.routes import Access, Route, RouteTable
from extauth.stores.base import LimitStore

# What a client is told to wait when the store is gone: long enough to spare it, short enough to notice its
# return.
RETRY_SECONDS = 1

# Looking a member up in its enumeration costs more than comparing it.
_ALLOWED = Code.ALLOWED
_RATE_LIMITED = Code.RATE_LIMITED
_REQUIRED = Access.REQUIRED


class Checker:
    """Decides about requests. Wired once in `app.py`; used from one event loop."""

    def __init__(
        self, *, routes: RouteTable, keys: KeyDirectory[Caller], limits: LimitStore, clock: Clock
    ) -> None:
        self._verdicts = routes.verdicts
        self._recall = keys.recall
        self._identify = keys.identify
        self._acquire = limits.acquire
        self._now_us = clock.now_us

    def decide(
        self, request: CheckRequest, now_us: int, caller: Caller | Rejection | None = None
    ) -> Decision | None:
        """Return the decision, or None where the key has to be looked up first: then `decide_later` has it.

        `caller` is given once that has happened.
        """
        # 1. The first rule that matches the target applies.
        route = self._verdicts[request.target]
        # 2. A target or a credential that can be read two ways is refused; some routes ask for nobody, or let
        # nobody in.
        if route.access is not _REQUIRED or request.ambiguous is not None:
            decision = _decide_without_key(request, route)
            if decision is not None:
                return decision
        # 3. Without a key there is nobody to let in.
        if request.credential is None:
            return Decision(Code.MISSING_KEY, route=route.name)
        # 4. Whose key is it? None where neither cache nor tag can say.
        if caller is None:
            caller = self._recall(request.credential)
            if caller is None:
                return None
        if isinstance(caller, Rejection):
            return Decision(Code.INVALID_KEY, key_id=caller.key_id, route=route.name, reason=caller.reason)
        # 5. May the key be used at all, at this moment?
        key = caller.key
        if caller.blocked or now_us >= caller.expires_us or caller.fault:
            return _refused(caller, route, now_us)
        # 6. May it do this?
        if route.scopes and caller.missing_scopes[route]:
            return Decision(Code.INSUFFICIENT_SCOPE, key, key.key_id, route.name, needed_scopes=route.scopes)
        # 7. Is it within its limits, all or none? What refused a moment ago does so again.
        spent = caller.spent
        if spent is not None and spent.since_us <= now_us < spent.until_us:
            return _limited(caller, route, spent)
        usages = self._acquire(caller.takes, 1, now_us)
        for usage in usages:
            if not usage.allowed:
                spent = caller.spent = spent_by(usages, now_us)
                return _limited(caller, route, spent)
        # The commonest decision is built without the named tuple's constructor, which takes twice as long.
        fields = (_ALLOWED, key, key.key_id, route.name, caller.limit_set, usages, (), 0, (), "")
        return tuple.__new__(Decision, fields)

    async def decide_later(self, request: CheckRequest) -> Decision:
        """Look the key up and decide: the second half of a check for which `decide` had no answer."""
        route = self._verdicts[request.target]
        assert request.credential is not None  # `decide` has answered all others
        try:
            caller = await self._identify(request.credential)
        except OverloadedError as error:
            return Decision(
                Code.OVERLOADED, route=route.name, retry_after=error.retry_after, reason=str(error)
            )
        except StoreError as error:
            # The one place where a store that fails turns into an answer: nobody is let in unseen.
            return Decision(
                Code.STORE_UNAVAILABLE, route=route.name, retry_after=RETRY_SECONDS, reason=str(error)
            )
        decision = self.decide(request, self._now_us(), caller)
        assert decision is not None  # it is only None without a caller
        return decision


def _decide_without_key(request: CheckRequest, route: Route) -> Decision | None:
    """Decide where the key plays no part; None where it does."""
    if route.access is Access.AMBIGUOUS:
        return Decision(Code.AMBIGUOUS_PATH)
    if request.ambiguous is not None:
        return Decision(request.ambiguous, route=route.name)
    if route.access is Access.DENIED:
        return Decision(Code.ROUTE_DENIED, route=route.name)
    if route.access is Access.NONE or (route.access is Access.OPTIONAL and request.credential is None):
        return Decision(Code.ALLOWED, route=route.name)
    return None


def _refused(caller: Caller, route: Route, now_us: int) -> Decision:
    key_id = caller.key.key_id
    if reason := caller.refusal(now_us):
        return Decision(Code.INVALID_KEY, key_id=key_id, route=route.name, reason=reason)
    return Decision(
        Code.INTERNAL_ERROR, key_id=key_id, route=route.name, retry_after=RETRY_SECONDS, reason=caller.fault
    )


def _limited(caller: Caller, route: Route, spent: Spent) -> Decision:
    key = caller.key
    limits = (caller.limit_set, spent.usages, spent.violated, spent.retry_after)
    return tuple.__new__(Decision, (_RATE_LIMITED, key, key.key_id, route.name, *limits, (), ""))
