"""What would come of a request, and why: the check itself, which looks at limits instead of taking them.

It takes nothing, counts nothing and logs no decision. Routes, plans, the checker and the writers of headers
are the ones that checks go through, so that it can't say anything else than they do.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Sequence
from typing import NamedTuple, Never, cast

from extauth.abuse.monitor import AbuseMonitor, AbuseRules
from extauth.callers import Caller, plans_without_key
from extauth.check import Asked, Checker
from extauth.clock import Clock
from extauth.dialects.base import Dialect
from extauth.dialects.headers import HeaderWriter
from extauth.dialects.problems import PROBLEMS
from extauth.errors import InvalidInputError
from extauth.failure import FailureModes, FailurePolicy
from extauth.keys.directory import KeyDirectory
from extauth.keys.token import mask_keys
from extauth.limits.plan import Plan, Planner
from extauth.model import CheckRequest, Code, Decision, Per, Target
from extauth.paths import is_unambiguous
from extauth.reporting.explained import Explanation, KeyState, Question, Rendered, RouteMatch
from extauth.reporting.standing import in_flight_of, standings_of
from extauth.routes import Access, Route, RouteTable
from extauth.stores.bans import BanList
from extauth.stores.base import KeyStore
from extauth.stores.limits import OnTold, Seen, SharedLimitStore, Taken
from extauth.stores.memory import MemoryLimitStore
from extauth.stores.states import LimitStates

LONGEST_URL = 8_192
_URL = re.compile(
    r"(?:[Hh][Tt][Tt][Pp][Ss]?://(?P<host>[^/?#@]*))?(?P<path>/[^?#]*)?(?P<query>\?[^#]*)?(?:#.*)?", re.DOTALL
)
_NO_URL = "must be a URL such as https://api.example.com/v1/orders, without a user"
_KEY_ID = re.compile(r"[0-9A-Za-z]{1,64}")
# What stands in an answer for the id that a real request has.
_REQUEST_ID = "explained"
_ALLOWED_STATUS = 200
# As long as the shortest secret and its tag may be, and that of no key.
_NO_SECRET = "0" * 60


# Name, template, methods and hosts: by these the rules of the settings are told from the default route.
Rule = tuple[str, str, tuple[str, ...], tuple[str, ...]]


def rule_of(route: Route) -> Rule:
    """Return what is set of a route."""
    return route.name, route.template, route.methods, route.hosts


class Explainer:
    """Explains requests. Every part is its own, so that it pushes nothing out of a check's memory.

    `methods` are those that may pass, `rules` those of the routes that are listed.
    """

    def __init__(
        self,
        *,
        routes: RouteTable,
        methods: Collection[str],
        rules: Collection[Rule],
        store: KeyStore,
        planner: Planner,
        states: LimitStates,
        dialects: Sequence[Dialect],
        writer: HeaderWriter,
        clock: Clock,
        abuse: AbuseRules,
    ) -> None:
        self._routes = routes
        self._methods = methods
        self._rules = rules
        self._store = store
        self._planner = planner
        self._states = states
        self._dialects = dialects
        self._writer = writer
        self._clock = clock
        self._abuse = abuse

    async def explain(self, question: Question) -> Explanation:
        """Return what would come of a request, whose key was used before.

        Raises InvalidInputError and StoreError.
        """
        target = _read(question)
        caller = await self._caller(question.key_id) if question.key_id else None
        request = _request(target, caller, question.client_ip)
        route = self._routes.find(target)
        checker = self._checker(await self._store.bans())
        now_us = self._clock.now_us()
        outcome = checker.decide(request, now_us, caller)
        assert outcome is not None  # whose key it is was told
        plan = _plan(outcome, route, caller, request.client_ip)
        seen = await self._states.look(plan)
        untold = () if question.client_ip else (Per.IP,)
        seen = _without(seen, plan, untold)
        decision = _conclude(checker, outcome, seen, now_us)
        # A key that a route doesn't ask for plays no part in its limits.
        key = caller.key if caller is not None and decision.key_id else None
        return Explanation(
            target=target,
            client_ip=question.client_ip,
            match=RouteMatch(route=route, why=self._why(route, target)),
            key=None if caller is None else _key_state(caller, now_us),
            missing_scopes=route.scopes if caller is None else caller.missing_scopes[route],
            limits=standings_of(plan, route.charge, key, seen, writer=self._writer, untold=untold),
            in_flight=in_flight_of(plan, key, seen, untold=untold),
            decision=decision,
            status=_ALLOWED_STATUS if decision.code is Code.ALLOWED else PROBLEMS[decision.code].status,
            answers={dialect.name: _rendered(dialect, request, decision) for dialect in self._dialects},
        )

    async def _caller(self, key_id: str) -> Caller:
        key = await self._store.get(key_id)
        if key is None:
            raise InvalidInputError.of([("key_id", "there is no key with this id")])
        return Caller(key, self._planner)

    def _checker(self, bans: BanList | None) -> Checker:
        """Return a checker of its own: what one explanation learns of limits must not show in the next."""
        abuse = AbuseMonitor(self._abuse)
        abuse.in_force.update({ban.subject: ban for ban in (bans.bans if bans is not None else ())})
        return Checker(
            routes=self._routes,
            # It is never asked: whose key it is, is told.
            keys=cast("KeyDirectory[Caller]", _Nobody()),
            limits=MemoryLimitStore(),
            plans=plans_without_key(self._planner),
            clock=self._clock,
            failure=FailurePolicy(FailureModes()),
            # With a shared store the checker says what it would ask instead of taking it.
            shared=cast("SharedLimitStore", _NothingTaken()),
            abuse=abuse,
        )

    def _why(self, route: Route, target: Target) -> str:
        if route.access is Access.AMBIGUOUS:
            return f"{self._doubt(target)}, so it is refused before any route is looked at"
        if rule_of(route) not in self._rules:
            return "no route fits, so the default route applies"
        of_methods = (
            f"the method is one of {', '.join(route.methods)}" if route.methods else "any method fits"
        )
        of_hosts = f"the host fits one of {', '.join(route.hosts)}" if route.hosts else "any host fits"
        return f"it is the first that fits: the path fits {route.template}, {of_methods}, {of_hosts}"

    def _doubt(self, target: Target) -> str:
        if target.method not in self._methods:
            return f"the method is not, to the letter, one of {', '.join(self._methods)}"
        if not is_unambiguous(target.path):
            return "the path can be read in more than one way"
        return "the host can be read in more than one way"


class _Nobody:
    """Stands where a checker wants a directory of keys."""

    def recall(self, _text: bytes) -> Never:
        """Recall nobody."""
        raise AssertionError

    recognise = recall


class _NothingTaken:
    """Stands where a checker wants a shared store. What is asked is never handed to it."""

    trouble = ""

    def ask(self, _plan: Plan, _key_id: str, _version: int, _on_told: OnTold) -> Never:
        """Take nothing."""
        raise AssertionError


def _read(question: Question) -> Target:
    """Return what the request is aimed at, as it would arrive. Raises InvalidInputError."""
    mistakes = {name: _misplaced(getattr(question, name)) for name in Question.__slots__}
    if question.key_id and not _KEY_ID.fullmatch(question.key_id):
        mistakes["key_id"] = mistakes["key_id"] or "is no key id: letters and digits, 64 at most"
    if question.client_ip and not _is_address(question.client_ip):
        mistakes["client_ip"] = mistakes["client_ip"] or "must be an IP address such as 192.0.2.7"
    match = _URL.fullmatch(question.url)
    if match is None or not question.url or len(question.url) > LONGEST_URL:
        mistakes["url"] = mistakes["url"] or _NO_URL
    found = [(name, mistake) for name, mistake in mistakes.items() if mistake]
    if found or match is None:
        raise InvalidInputError.of(found)
    # Clients send a slash where a URL has no path.
    return Target(question.method, match["host"] or "", match["path"] or "/")


def _misplaced(text: str) -> str:
    """Return why a text can't be part of the question, without repeating it; nothing where it can."""
    if mask_keys(text) != text:
        return "holds what looks like a key: give the key's id, never its text"
    return "" if text.isascii() else "must be in ASCII: clients write all else as escapes such as %C3%A9"


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _request(target: Target, caller: Caller | None, client_ip: str) -> CheckRequest:
    if caller is None:
        return CheckRequest("", target, None, (), client_ip, _REQUEST_ID)
    # Of the shape of the real one, because Envoy is told to take keys of this shape out of a request.
    credential = caller.key.hint.replace("…", _NO_SECRET).encode()
    return CheckRequest("", target, credential, ("authorization",), client_ip, _REQUEST_ID)


def _plan(outcome: Decision | Asked, route: Route, caller: Caller | None, client_ip: str) -> Plan:
    """Return what the request takes; of one that is refused for its key, what it would take otherwise."""
    if isinstance(outcome, Asked) and outcome.foreseen is None:
        return outcome.plan
    if caller is None or caller.fault or not isinstance(outcome, Asked):
        return Plan(())
    plans = caller.all_plans()
    return plans[route.charge] or plans.at(route.charge, client_ip)


def _without(seen: Seen, plan: Plan, untold: Sequence[Per]) -> Seen:
    """Return what was seen without the limits that nobody asked about."""
    buckets = {take.bucket for take in plan.all_takes if take.limit.per in untold}
    return seen._replace(
        states={bucket: state for bucket, state in seen.states.items() if bucket not in buckets}
    )


def _conclude(checker: Checker, outcome: Decision | Asked, seen: Seen, now_us: int) -> Decision:
    if not isinstance(outcome, Asked):
        return outcome
    # The store that all others are held to, filled with what was seen: nobody misses what is taken from it.
    scratch = MemoryLimitStore()
    scratch.restore(seen.states.items())
    taken: Taken = scratch.acquire(outcome.plan, seen.now_us)
    decision = checker.conclude(outcome, taken, now_us)
    assert decision is not None  # the key can't have changed
    return decision


def _key_state(caller: Caller, now_us: int) -> KeyState:
    in_force = "active" if caller.key.grace_until is None else "in grace"
    return KeyState(key=caller.key, state=caller.refusal(now_us) or in_force, problem=caller.fault)


class _Line(NamedTuple):
    name: str
    value: str


def _rendered(dialect: Dialect, request: CheckRequest, decision: Decision) -> Rendered:
    answer = dialect.render(request, decision)
    lines = (line.split(": ", 1) for line in answer.head.decode("latin-1").split("\r\n") if line)
    return Rendered(status=answer.status, headers=tuple(_Line(*line) for line in lines))
