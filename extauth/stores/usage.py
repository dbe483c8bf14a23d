"""How much is used, by whom and where: what is counted, for how long it is kept, and what stores promise.

Times are whole seconds since 1970 UTC. Counts are lists of numbers, because they are added up by the million:
what stands where in them is said here and nowhere else.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, NamedTuple, Protocol

DAY_SECONDS = 86_400

# What stands where in counts: five outcomes, the latency of checks, what became of requests upstream.
ALLOWED, RATE_LIMITED, THROTTLED, REFUSED, FAILED, LATENCY_SUM, LATENCIES = range(7)
OUTCOMES = 5
# Upper bounds of the latency's histogram in microseconds; what is beyond them all has one more number.
LATENCY_BOUNDS_US = (25, 100, 500, 2_500, 10_000, 50_000, 250_000)
UPSTREAM = LATENCIES + len(LATENCY_BOUNDS_US) + 1
UPSTREAM_CLASSES = ("2xx", "3xx", "4xx", "5xx")
UPSTREAM_DURATION_SUM = UPSTREAM + len(UPSTREAM_CLASSES)
UPSTREAM_REPORTED = UPSTREAM_DURATION_SUM + 1
WIDTH = UPSTREAM_REPORTED + 1

# Zeros at the end may be left out.
Counts = Sequence[int]

# How many places a page has at most.
LARGEST_PAGE = 500
# What stands for all that a period does not tell apart.
OTHER = "other"
# How many refusals are kept of each key, and for how long.
MOST_REFUSALS = 50
REFUSALS_KEPT_SECONDS = 7 * DAY_SECONDS
# How long somebody may take over the journal of a process that died.
JOURNAL_KEPT_SECONDS = 7 * DAY_SECONDS
# How many of the busiest places of a period are looked at to find the busiest of several periods.
RANKED = 200


class Step(NamedTuple):
    """How finely time is told. Periods of `span` seconds are kept together, for `kept` seconds.

    A period tells `places` places of keys apart, and as many of users.
    """

    name: str
    seconds: int
    span: int
    kept: int
    places: int

    def period(self, at: int) -> int:
        """Return the number of the period that a time is in."""
        return at // self.span

    def oldest(self, now: int) -> int:
        """Return the first time of which something is kept."""
        return (now - self.kept) // self.seconds * self.seconds


MINUTE = Step("1m", 60, 3_600, DAY_SECONDS, 2_000)
HOUR = Step("1h", 3_600, DAY_SECONDS, 90 * DAY_SECONDS, 5_000)
DAY = Step("1d", DAY_SECONDS, 30 * DAY_SECONDS, 731 * DAY_SECONDS, 10_000)
STEPS = (MINUTE, HOUR, DAY)


class Kind(enum.StrEnum):
    """Whose usage is kept by itself: everybody's by tier and route, and its sum, which is asked for most."""

    ALL = "all"
    SUM = "sum"
    KEY = "key"
    USER = "user"


class Group(enum.StrEnum):
    """By what readings are told apart."""

    NOTHING = "nothing"
    NAME = "name"
    TIER = "tier"
    ROUTE = "route"


class Place(NamedTuple):
    """Who asked, under which tier, for which route; ids are empty where nobody was identified."""

    key_id: str
    user_id: str
    tier: str
    route: str

    def kept_under(self) -> tuple[tuple[Kind, str, str, str], ...]:
        """Return the kinds, names, tiers and routes under which its counts are added up."""
        key_id, user_id, tier, route = self
        return (
            (Kind.SUM, "", "", ""),
            (Kind.ALL, "", tier, route),
            (Kind.KEY, key_id, tier, route),
            (Kind.USER, user_id, tier, route),
        )


# A place as a plain tuple, which takes less time to make: with many keys a page's are made at once.
PlainPlace = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Counts of one minute, written in one step. `refusals` are JSON by key, the oldest first.

    `process` wrote `number` - 1 before: a batch that comes again, because nobody knew whether it had been
    written, counts once. It takes the place of a `page` of the process's journal, if it has the name of one.
    """

    process: str
    number: int
    minute: int
    counts: Sequence[tuple[Place, Counts]]
    refusals: Mapping[str, Sequence[str]] = field(default_factory=dict)
    page: str = ""


@dataclass(eq=False, slots=True, weakref_slot=True)
class Sheet:
    """Places that stand together on pages of one minute after the other; more may come."""

    places: list[PlainPlace] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class Page:
    """Some places of a minute, and what was counted at each so far: more of both may come.

    That is told as JSON, as one list of counts for each place, or as one of all, as many of each place.

    No other page of the same process has its name, which begins with the minute.
    """

    name: str
    sheet: Sheet = field(default_factory=Sheet)
    told: bytes = b"[]"

    @property
    def places(self) -> list[PlainPlace]:
        """Its places, of which some may not have been counted at: then their counts are zeros."""
        return self.sheet.places


def minute_of(page: str) -> int:
    """Return of which minute a page with that name is."""
    return int(page.partition(".")[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What is asked of a store: of whom, since when and until before when, how told apart.

    `names` are key ids or user ids, or one empty text for all; `tier` and `route` narrow it down.
    """

    step: Step
    kind: Kind
    names: Sequence[str]
    since: int
    until: int
    group: Group
    tier: str | None = None
    route: str | None = None

    def fits(self, tier: str, route: str) -> bool:
        """Tell whether counts of that tier and route are wanted."""
        return self.tier in {None, tier} and self.route in {None, route}

    def group_of(self, name: str, tier: str, route: str) -> str:
        """Return what they are told apart by."""
        return {Group.NAME: name, Group.TIER: tier, Group.ROUTE: route}.get(self.group, "")

    @property
    def kept_as(self) -> Kind:
        """Return under which kind the counts are found with the fewest parts to add up."""
        if self.kind is Kind.ALL and self.group is Group.NOTHING and self.tier is self.route is None:
            return Kind.SUM
        return self.kind

    def periods(self) -> range:
        """Return the numbers of the periods that are asked for."""
        return range(self.step.period(self.since), self.step.period(self.until - 1) + 1)


class Ranked(NamedTuple):
    """How many requests came in a period from a key or a user, under a tier, for a route."""

    name: str
    tier: str
    route: str
    requests: int


class Reading(NamedTuple):
    """What was counted of a group from a time on, for one step."""

    group: str
    at: int
    counts: Counts


class Cell(NamedTuple):
    """What was counted of a name, under a tier and for a route, from a time on, for one step."""

    name: str
    tier: str
    route: str
    at: int
    counts: Counts


class Period(NamedTuple):
    """A period of a step, and whose usage in it is meant: that of keys, of users, or of all."""

    step: Step
    number: int
    kind: Kind

    @property
    def begins(self) -> int:
        """Its first moment, in seconds since 1970."""
        return self.number * self.step.span

    @property
    def kept_until(self) -> int:
        """When nothing of it is kept any more, in seconds since 1970."""
        return self.begins + self.step.span + self.step.kept


class UsageStore(Protocol):
    """Keeps usage. Every method may raise StoreError.

    `at_once` is how many places a batch or a page may have, no more than `LARGEST_PAGE`.

    Each process has a journal: pages with what it counted and did not yet write in batches. If it dies,
    another one adds them.
    """

    at_once: int

    async def add(self, batch: Batch) -> bool:
        """Add counts to their minute, hour and day, and keep the latest refusals.

        What has not been asked for within a step's `kept` seconds before the batch goes. Return False, and
        add nothing, where the journal was taken over before.
        """
        ...

    async def note(self, process: str, number: int, pages: Sequence[Page]) -> bool:
        """Keep pages in a process's journal, each in place of what it was, until a batch takes its place.

        They are numbered as batches are: what comes late is not kept. Return False, and keep nothing, where
        the journal was taken over.
        """
        ...

    async def journals(self) -> Mapping[str, int]:
        """Return which processes have pages in their journals, and the number of what each wrote last."""
        ...

    async def take_over(self, process: str, number: int) -> Sequence[str]:
        """Have no more from a process, if what it wrote last has that number; return the names of its pages.

        A process that was taken over before may be taken over again.
        """
        ...

    async def fold(self, process: str, page: str, number: int = 0) -> None:
        """Add a page of a journal as if it were a batch, and drop it; if it is there.

        A process does that with its own pages, as something that has a number, which is not done once the
        journal was taken over; whoever took it over does it without.
        """
        ...

    async def top(self, selection: Selection) -> Sequence[Ranked]:
        """Return the `RANKED` busiest places of each period, in any order; names are those it finds."""
        ...

    async def read(self, selection: Selection) -> Sequence[Reading]:
        """Return what was counted, each group and time once, in any order; what is 0 is left out."""
        ...

    async def refusals(self, key_id: str) -> Sequence[str]:
        """Return the latest refusals of a key as JSON, the newest first."""
        ...

    async def names(self, period: Period) -> Sequence[str]:
        """Return whose usage a period has, in any order; that of all together has an empty name."""
        ...

    async def cells(self, period: Period, names: Sequence[str]) -> Sequence[Cell]:
        """Return all that a period has of these names, in any order."""
        ...

    async def take_in(self, period: Period, cells: Sequence[Cell], now: int) -> int:
        """Add counts of another store to one period alone; return how many cells that were.

        Those of places that the period does not tell apart, as it has no room for them, are left out.
        """
        ...

    async def close(self) -> None:
        """Let go of files and connections."""
        ...


def added(first: Counts, second: Counts) -> list[int]:
    """Return the sums."""
    return [one + other for one, other in zip_longest(first, second, fillvalue=0)]


def whole(counts: Counts) -> list[int]:
    """Return counts with the zeros that were left out at their end."""
    return [*counts, *[0] * (WIDTH - len(counts))]


def counts_of_each(told: Sequence[Any], places: int) -> list[list[int]]:
    """Return the counts of each of so many places, as a page tells them. See `Page`."""
    if not told or isinstance(told[0], list):
        return list(told)
    width = len(told) // places
    return [list(told[first : first + width]) for first in range(0, len(told), width)]


def requests_of(counts: Counts) -> int:
    """Return how many checks were counted."""
    return sum(counts[:OUTCOMES])


def by_name(counted: Iterable[tuple[Place, Counts]]) -> dict[tuple[Kind, str, str, str], list[int]]:
    """Return counts by kind, name, tier and route, those of the same added up."""
    found: dict[tuple[Kind, str, str, str], list[int]] = {}
    for place, counts in counted:
        for where in place.kept_under():
            found[where] = added(found[where], counts) if where in found else list(counts)
    return found
