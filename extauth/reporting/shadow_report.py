"""What would happen if limits left the shadow: who would be refused, how often, and where."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from extauth.stores.shadowed import ANONYMOUS, OTHER, Place, ShadowedCount, ShadowedStore, oldest_kept

DEFAULT_DAYS = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowedLimit:
    """What one limit would have refused; `keys` is how many keys at least, those without one left out."""

    name: str
    requests: int
    keys: int
    days: Mapping[date, int]

    def plain(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        days = [{"day": day.isoformat(), "requests": requests} for day, requests in self.days.items()]
        return {"name": self.name, "requests": self.requests, "keys": self.keys, "days": days}


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowedCaller:
    """Who would have been refused by a limit at a route, and on which day last."""

    place: Place
    requests: int
    last_day: date

    def plain(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {**self.place._asdict(), "requests": self.requests, "last_day": self.last_day.isoformat()}


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowReport:
    """Days are in UTC, both included. The busiest come first; `left_out` callers are not among them."""

    since: date
    until: date
    limits: tuple[ShadowedLimit, ...]
    callers: tuple[ShadowedCaller, ...]
    left_out: int

    def plain(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "since": self.since.isoformat(),
            "until": self.until.isoformat(),
            "limits": [limit.plain() for limit in self.limits],
            "callers": [caller.plain() for caller in self.callers],
            "left_out": self.left_out,
        }


async def shadow_report(store: ShadowedStore, since: date, today: date, *, most: int) -> ShadowReport:
    """Report on the days since then, as far as they are kept, with so many callers. Raises StoreError."""
    since = max(since, oldest_kept(today))
    counts = await store.shadowed(since, today)
    callers = _callers(counts)
    return ShadowReport(
        since=since,
        until=today,
        limits=_limits(counts),
        callers=callers[:most],
        left_out=max(0, len(callers) - most),
    )


def _limits(counts: Sequence[ShadowedCount]) -> tuple[ShadowedLimit, ...]:
    days: defaultdict[str, Counter[date]] = defaultdict(Counter)
    keys: defaultdict[str, set[str]] = defaultdict(set)
    for count in counts:
        days[count.place.limit][count.day] += count.requests
        keys[count.place.limit].add(count.place.key_id)
    limits = (
        ShadowedLimit(
            name=name,
            requests=by_day.total(),
            keys=len(keys[name] - {OTHER, ANONYMOUS}),
            days=dict(sorted(by_day.items())),
        )
        for name, by_day in days.items()
    )
    return tuple(sorted(limits, key=lambda limit: (-limit.requests, limit.name)))


def _callers(counts: Sequence[ShadowedCount]) -> tuple[ShadowedCaller, ...]:
    requests: Counter[Place] = Counter()
    last: dict[Place, date] = {}
    for count in counts:
        requests[count.place] += count.requests
        last[count.place] = max(count.day, last.get(count.place, count.day))
    ordered = sorted(requests, key=lambda place: (-requests[place], place))
    return tuple(
        ShadowedCaller(place=place, requests=requests[place], last_day=last[place]) for place in ordered
    )
