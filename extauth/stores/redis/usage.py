"""Usage in Redis: a hash for each key, user and period, whose fields are times, tiers and routes.

All of it is in one slot, so that one script can add to the minute, the hour and the day. It is asked through
connections of its own: a report over months holds up no key.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote, unquote

import orjson

from extauth.errors import StoreError
from extauth.settings.model import StoreSettings
from extauth.stores.redis import layout, scripts
from extauth.stores.redis.connect import connect
from extauth.stores.redis.link import RedisLink
from extauth.stores.usage import (
    DAY_SECONDS,
    MOST_REFUSALS,
    OTHER,
    RANKED,
    REFUSALS_KEPT_SECONDS,
    STEPS,
    UPSTREAM,
    WIDTH,
    Batch,
    Cell,
    Counts,
    Kind,
    Period,
    Place,
    Ranked,
    Reading,
    Selection,
    Step,
    added,
)

# Nobody's check waits for a report, and a batch that nobody waits for needn't be written twice.
PATIENCE_SECONDS = 5.0
# How many hashes are read in one trip: other servers' checks come in between.
_AT_ONCE = 200
# How many cells of another store are added in one step: Redis does nothing else meanwhile.
_TAKEN_AT_ONCE = 100
# What may stand in a name as it is; looking at it costs a fraction of quoting it.
_SAFE = "!$&'()*+,/:;=?@[]|~"
_PLAIN = re.compile(rf"[0-9A-Za-z_.\-{re.escape(_SAFE)}]+").fullmatch


class RedisUsageStore:
    """Usage in Redis. See `UsageStore`."""

    # Redis does nothing else while a script runs: so few are added in a millisecond or two.
    at_once = 50

    def __init__(self, settings: StoreSettings, *, patience_seconds: float = PATIENCE_SECONDS) -> None:
        patience = max(patience_seconds, settings.timeout.total_seconds())
        self._link = RedisLink(connect(settings), timeout_seconds=patience)

    async def open(self) -> None:
        """Connect. Raises StoreError."""
        try:
            await self._link.greet()
        except BaseException:
            await self._link.close()
            raise

    async def add(self, batch: Batch) -> None:
        """Add counts. See `UsageStore`."""
        arguments: list[str | int] = [batch.number, DAY_SECONDS, MOST_REFUSALS, REFUSALS_KEPT_SECONDS]
        for step in STEPS:
            arguments += _step(step, batch.minute)
        arguments += (OTHER, _told(batch.counts))
        for key_id, told in batch.refusals.items():
            for one in told:
                arguments += (_word(key_id), one)
        await self._link.write(scripts.USAGE([layout.usage_written(batch.process), layout.USAGE], *arguments))

    async def top(self, selection: Selection) -> Sequence[Ranked]:
        """Return the busiest places. See `UsageStore`."""
        keys = [
            layout.usage_places(selection.step.name, selection.kind, period) for period in selection.periods()
        ]
        # More than are wanted, where some of them are left out.
        most = RANKED if selection.tier is selection.route is None else 5 * RANKED
        replies = await self._read([("ZREVRANGE", key, 0, most - 1, "WITHSCORES") for key in keys])
        return [ranked for reply in replies for ranked in _ranked(reply) if _is_wanted(ranked, selection)]

    async def read(self, selection: Selection) -> Sequence[Reading]:
        """Return what was counted. See `UsageStore`."""
        found: dict[tuple[str, int], Counts] = {}
        whose = [(period, name) for name in selection.names for period in selection.periods()]
        lacking = await self._add_up(found, selection, selection.kept_as, whose)
        if selection.kept_as is not selection.kind:
            # Periods that were over before there were sums have their parts only.
            await self._add_up(found, selection, selection.kind, lacking)
        return [Reading(group, at, counts) for (group, at), counts in found.items()]

    async def refusals(self, key_id: str) -> Sequence[str]:
        """Return the latest refusals. See `UsageStore`."""
        (told,) = await self._link.read(("LRANGE", layout.usage_refusals(_word(key_id)), 0, -1))
        return list(told)

    async def names(self, period: Period) -> Sequence[str]:
        """Return whose usage a period has. See `UsageStore`."""
        step, number, kind = period
        if kind is Kind.ALL:
            (there,) = await self._link.read(("EXISTS", layout.usage_of(step.name, kind, number, "")))
            return [""] if there else []
        (places,) = await self._link.read(("ZRANGE", layout.usage_places(step.name, kind, number), 0, -1))
        return [*dict.fromkeys(unquote(place.partition(" ")[0]) for place in places)]

    async def cells(self, period: Period, names: Sequence[str]) -> Sequence[Cell]:
        """Return all that a period has of these names. See `UsageStore`."""
        step, number, kind = period
        hashes = [layout.usage_of(step.name, kind, number, _word(name)) for name in names]
        replies = await self._read([("HGETALL", key) for key in hashes])
        return [
            Cell(name, tier, route, at, counts)
            for name, fields in zip(names, replies, strict=True)
            for at, tier, route, counts in _fields(step, period.begins, fields)
        ]

    async def take_in(self, period: Period, cells: Sequence[Cell], now: int) -> int:
        """Add counts of another store. See `UsageStore`."""
        step, number, kind = period
        if (left := period.kept_until - now) <= 0:
            return 0
        taken = 0
        for first in range(0, len(cells), _TAKEN_AT_ONCE):
            told = [
                (
                    _word(name),
                    orjson.dumps((tier, route)).decode(),
                    (at - period.begins) // step.seconds,
                    _trimmed(counts),
                )
                for name, tier, route, at, counts in cells[first : first + _TAKEN_AT_ONCE]
            ]
            about = (step.name, kind, number, left, step.places, OTHER)
            take_in = scripts.USAGE_TAKE_IN([layout.USAGE], *about, orjson.dumps(told).decode())
            taken += int((await self._link.write(take_in))[0])
        return taken

    async def close(self) -> None:
        """Let go of all connections."""
        await self._link.close()

    async def _add_up(
        self,
        found: dict[tuple[str, int], Counts],
        selection: Selection,
        kind: Kind,
        whose: Sequence[tuple[int, str]],
    ) -> list[tuple[int, str]]:
        """Add up what is asked for; return those of these periods and names that have nothing."""
        step = selection.step
        hashes = [layout.usage_of(step.name, kind, period, _word(name)) for period, name in whose]
        replies = await self._read([("HGETALL", key) for key in hashes])
        for (period, name), fields in zip(whose, replies, strict=True):
            if fields:
                _collect(found, selection, period * step.span, name, fields)
                # A hash may have thousands of fields: checks come in between.
                await asyncio.sleep(0)
        return [one for one, fields in zip(whose, replies, strict=True) if not fields]

    async def _read(self, commands: Sequence[scripts.Command]) -> list[Any]:
        parts = [commands[first : first + _AT_ONCE] for first in range(0, len(commands), _AT_ONCE)]
        return [reply for part in parts for reply in await self._link.read(*part)]


def _step(step: Step, minute: int) -> tuple[str | int, ...]:
    period = step.period(minute)
    place = (minute - period * step.span) // step.seconds
    # A period is kept until its last time is old enough.
    return step.name, period, place, step.kept + step.span, step.places


def _told(places: Sequence[tuple[Place, Counts]]) -> str:
    """Return counts as one JSON text: to send each by itself takes the client longer than all else.

    First each tier and route, as JSON, then the key, the user, the number of its tier and route, and the
    counts of each place.
    """
    numbers: dict[tuple[str, str], int] = {}
    told = [
        (
            _word(key_id),
            _word(user_id),
            # Lua counts from one.
            numbers.setdefault((tier, route), len(numbers) + 1),
            _trimmed(counts),
        )
        for (key_id, user_id, tier, route), counts in places
    ]
    return orjson.dumps([[orjson.dumps(where).decode() for where in numbers], told]).decode()


def _word(name: str) -> str:
    """Return a name without spaces: one ends it in the places of a period."""
    return name if name.isalnum() or _PLAIN(name) else quote(name, safe=_SAFE)


def _trimmed(counts: Counts) -> Counts:
    """Leave out zeros at the end; hardly any request has its end reported."""
    last = WIDTH if any(counts[UPSTREAM:]) else UPSTREAM
    while last > 1 and not counts[last - 1]:
        last -= 1
    return counts[:last]


def _ranked(reply: Sequence[Any]) -> list[Ranked]:
    try:
        found = []
        for place, requests in zip(reply[::2], reply[1::2], strict=True):
            name, _, where = place.partition(" ")
            tier, route = orjson.loads(where)
            found.append(Ranked(unquote(name), tier, route, int(float(requests))))
    except ValueError as error:
        raise StoreError(f"a place of usage can't be read: {error}") from error
    return found


def _is_wanted(ranked: Ranked, selection: Selection) -> bool:
    return selection.fits(ranked.tier, ranked.route)


def _collect(
    found: dict[tuple[str, int], Counts], selection: Selection, begins: int, name: str, fields: dict[str, str]
) -> None:
    """Add up the fields of one hash that are asked for."""
    for at, tier, route, counts in _fields(selection.step, begins, fields):
        if selection.since <= at < selection.until and selection.fits(tier, route):
            cell = (selection.group_of(name, tier, route), at)
            found[cell] = added(found[cell], counts) if cell in found else counts


def _fields(step: Step, begins: int, fields: dict[str, str]) -> Iterator[tuple[int, str, str, list[int]]]:
    """Read the fields of a hash: a time, a tier, a route, and what was counted."""
    known: dict[str, tuple[str, str]] = {}
    try:
        for text, numbers in fields.items():
            place, bracket, rest = text.partition("[")
            if rest not in known:
                tier, route = orjson.loads(bracket + rest)
                known[rest] = (tier, route)
            counts = [int(number) for number in orjson.loads(numbers)]
            yield begins + int(place) * step.seconds, *known[rest], counts + [0] * (WIDTH - len(counts))
    except (TypeError, ValueError) as error:
        raise StoreError(f"a count of usage can't be read: {error}") from error
