"""Example answers for readers: written by what writes the real ones, under the settings in force."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any, NamedTuple

from extauth.admin.problems import PROBLEM_TYPE, AdminCode, Problem, ProblemResponse
from extauth.clock import to_us
from extauth.compiled import answer_writer
from extauth.decisions import RETRY_SECONDS
from extauth.docs.problems import PROXY_PROBLEM
from extauth.limits.cool_down import COOL_DOWN, violate
from extauth.limits.plan import Take, take_for
from extauth.limits.spent import code_of, spent_by
from extauth.model import OUTCOMES, ApiKey, Code, Decision, Identified, Limit, LimitSet, Outcome, Per, Usage
from extauth.settings.cool_down import CoolDownSettings
from extauth.settings.model import Settings
from extauth.settings.rates import QuotaSettings, RateSettings
from extauth.settings.routing import TierSettings

_REQUEST_ID = "8f14e45f-ceea-467f-a9f4-9c6c2b5d1e2a"
# In the middle of a month, so that a quota of one still has some of it to go.
_NOON = datetime(2026, 5, 15, 12, tzinfo=UTC)
_NOW_US = to_us(_NOON)
_A_SCOPE = ("orders:read",)
_WAITS = {Code.STORE_UNAVAILABLE, Code.OVERLOADED, Code.INTERNAL_ERROR}
# What proxies take off: for the upstream, and for themselves.
_NOT_FOR_CLIENTS = ("x-auth-", "x-extauth-")
# What an answer of these codes is shown with where no limit of the settings gives it.
_MADE_UP: Mapping[Code, Limit] = {
    Code.RATE_LIMITED: RateSettings.parse("10/second burst 20").to_limit(),
    Code.QUOTA_EXCEEDED: QuotaSettings.model_validate("100000/month").to_limit(),
    Code.COOLING_DOWN: CoolDownSettings().to_limit(Per.KEY),
}


class ExampleAnswer(NamedTuple):
    """An answer as a client gets it; `made_up` names a limit that it tells of and that nobody has set."""

    status: int
    headers: Sequence[tuple[str, str]]
    body: str
    made_up: str = ""

    @property
    def reason(self) -> str:
        """What is usually said with the status."""
        return HTTPStatus(self.status).phrase


class _AtNoon:
    """A clock that stands, so that the same settings give the same pages."""

    def now_us(self) -> int:
        """Return the time that the examples are of."""
        return _NOW_US


class Examples:
    """Example answers under these settings."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._writer = answer_writer(settings, _AtNoon())

    def allowed(self, *, rotated: bool = False) -> ExampleAnswer:
        """Return the headers of an allowed answer, to the holder of a key that was rotated or not."""
        usages = tuple(_after_one(take) for take in _told(self._takes(self._default_tier)))
        whose = Identified(_rotated_key(self._settings.keys.default_grace)) if rotated else None
        head = self._writer.allowed(Decision(Code.ALLOWED, whose, limit_set=_set_of(usages), usages=usages))
        return ExampleAnswer(200, tuple(_lines(head)), "")

    def denied(self, code: Code) -> ExampleAnswer:
        """Return a refusal."""
        decision, made_up = self._decision(code)
        status, head, body = self._writer.denied(decision, _REQUEST_ID)
        return ExampleAnswer(status, tuple(_lines(head)), _indented(json.loads(body)), made_up)

    def _decision(self, code: Code) -> tuple[Decision, str]:
        if OUTCOMES[code] is Outcome.LIMITED:
            return self._limited(code)
        scopes = self._scopes() if code is Code.INSUFFICIENT_SCOPE else ()
        wait = RETRY_SECONDS if code in _WAITS else 0
        return Decision(code, needed_scopes=scopes, retry_after=wait), ""

    def _limited(self, code: Code) -> tuple[Decision, str]:
        if code is Code.TOO_MANY_CONCURRENT:
            return self._crowded()
        told_of, refusing, made_up = self._refusing(code)
        usages = tuple(_spent(take) if take is refusing else _after_one(take) for take in told_of)
        spent = spent_by(usages, _NOW_US)
        decision = Decision(
            code,
            limit_set=_set_of(usages),
            usages=usages,
            violated=spent.violated,
            retry_after=spent.retry_after,
        )
        return decision, made_up

    def _crowded(self) -> tuple[Decision, str]:
        usages = tuple(take.look(None, _NOW_US) for take in _told(self._takes(self._default_tier)))
        name, made_up = self._in_flight()
        decision = Decision(
            Code.TOO_MANY_CONCURRENT,
            limit_set=_set_of(usages),
            usages=usages,
            violated=(name,),
            retry_after=RETRY_SECONDS,
        )
        return decision, made_up

    def _refusing(self, code: Code) -> tuple[Sequence[Take], Take, str]:
        """Return the limits that are told of, the one that refuses, and its name where nobody has set it."""
        for tier in (self._default_tier, *self._settings.tiers.values()):
            takes = self._takes(tier)
            for take in takes:
                if code_of([take.limit]) is code:
                    return [each for each in takes if each is take or each in _told(takes)], take, ""
        take = _take(_MADE_UP[code])
        others = [
            each for each in _told(self._takes(self._default_tier)) if each.limit.name != take.limit.name
        ]
        return [*others, take], take, take.limit.name

    def _in_flight(self) -> tuple[str, str]:
        if any(tier.concurrency and not tier.shadow for tier in self._settings.tiers.values()):
            return "concurrency", ""
        if any(route.concurrency and not route.shadow for route in self._settings.routes):
            return "route-concurrency", ""
        return "concurrency", "concurrency"

    @property
    def _default_tier(self) -> TierSettings:
        return self._settings.tiers[self._settings.keys.default_tier]

    def _takes(self, tier: TierSettings) -> list[Take]:
        return [_take(limit) for limit in tier.to_limits() if not limit.shadow]

    def _scopes(self) -> tuple[str, ...]:
        needed = (route.scopes for route in self._settings.routes if route.scopes)
        return next(needed, _A_SCOPE) if self._settings.docs.routes else _A_SCOPE


def admin_example(code: AdminCode) -> ExampleAnswer:
    """Return a refusal of the admin API."""
    answer = ProblemResponse(Problem(code=code))
    return ExampleAnswer(
        answer.status_code,
        tuple((name, answer.headers[name]) for name in ("content-type", "cache-control")),
        _indented(json.loads(bytes(answer.body))),
    )


def proxy_example() -> ExampleAnswer:
    """Return the refusal of a proxy that extauth gave no answer."""
    headers = (
        ("content-type", PROBLEM_TYPE),
        ("cache-control", "no-store"),
        ("retry-after", str(RETRY_SECONDS)),
    )
    return ExampleAnswer(503, headers, _indented({**PROXY_PROBLEM, "request_id": _REQUEST_ID}))


def _indented(body: Mapping[str, Any]) -> str:
    return json.dumps(body, indent=2)


def _lines(head: bytes) -> Iterator[tuple[str, str]]:
    for line in head.decode("latin-1").split("\r\n")[:-1]:
        name, _, value = line.partition(": ")
        if not name.startswith(_NOT_FOR_CLIENTS):
            yield name, value


def _take(limit: Limit) -> Take:
    return take_for(limit, 1, subject="", field="")


def _set_of(usages: Sequence[Usage]) -> LimitSet:
    return LimitSet(tuple(usage.limit for usage in usages))


def _after_one(take: Take) -> Usage:
    _, state = take.step(None, take.numbers, _NOW_US)
    return take.look(state, _NOW_US)


def _spent(take: Take) -> Usage:
    limit, algorithm = take.limit, take.algorithm
    if limit.algorithm == COOL_DOWN.name:
        return take.look(violate(None, (*take.numbers[:4], limit.capacity), _NOW_US), _NOW_US, allowed=False)
    _, state = algorithm.step(None, algorithm.prepare(limit, limit.capacity), _NOW_US)
    return take.look(state, _NOW_US, allowed=False)


def _told(takes: Sequence[Take]) -> list[Take]:
    """Return those that answers tell of while no cool-down refuses."""
    return [take for take in takes if take.limit.algorithm != COOL_DOWN.name]


def _rotated_key(grace: timedelta) -> ApiKey:
    return ApiKey(
        key_id="",
        hashed_key="",
        hint="",
        user_id="",
        name="",
        tier="",
        scopes=(),
        environment="",
        created_at=_NOON - timedelta(days=365),
        rotated_at=_NOON,
        grace_until=_NOON + grace,
    )
