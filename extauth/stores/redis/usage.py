"""Usage in Redis: a hash for each key, user and period, whose fields are times, tiers and routes.

All of it is in one slot, so that one script can add to the minute, the hour and the day. It is asked through
connections of its own: a report over months holds up no key.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote
from weakref import WeakKeyDictionary

import orjson

from extauth.settings.model import StoreSettings
from extauth.stores.redis import layout, scripts
from extauth.stores.redis.connect import connect
from extauth.stores.redis.link import RedisLink
from extauth.stores.redis.usage_texts import (
    counts_told,
    fields_told,
    places_told,
    ranked,
    steps_told,
    trimmed,
    word,
)
from extauth.stores.usage import (
    DAY_SECONDS,
    JOURNAL_KEPT_SECONDS,
    MOST_REFUSALS,
    OTHER,
    RANKED,
    REFUSALS_KEPT_SECONDS,
    Batch,
    Cell,
    Counts,
    Kind,
    Page,
    Period,
    Ranked,
    Reading,
    Selection,
    Sheet,
    added,
    minute_of,
)

# Nobody's check waits for a report, and a batch that nobody waits for needn't be written twice.
PATIENCE_SECONDS = 5.0
# How many hashes are read in one trip: other servers' checks come in between.
_AT_ONCE = 200
# How many cells of another store are added in one step: Redis does nothing else meanwhile.
_TAKEN_AT_ONCE = 100


class RedisUsageStore:
    """Usage in Redis. See `UsageStore`."""

    # Redis does nothing else while a script runs: so few are added in a millisecond or two.
    at_once = 50

    def __init__(self, settings: StoreSettings, *, patience_seconds: float = PATIENCE_SECONDS) -> None:
        patience = max(patience_seconds, settings.timeout.total_seconds())
        self._link = RedisLink(connect(settings), timeout_seconds=patience)
        self._told: WeakKeyDictionary[Sheet, tuple[int, str]] = WeakKeyDictionary()

    async def open(self) -> None:
        """Connect. Raises StoreError."""
        try:
            await self._link.greet()
        except BaseException:
            await self._link.close()
            raise

    async def add(self, batch: Batch) -> bool:
        """Add counts. See `UsageStore`."""
        places = places_told([place for place, _ in batch.counts])
        arguments: list[str | int] = [batch.number, DAY_SECONDS, MOST_REFUSALS, REFUSALS_KEPT_SECONDS]
        arguments += (batch.process, batch.page, *steps_told(batch.minute))
        arguments.append(counts_told(places, orjson.dumps([counts for _, counts in batch.counts])))
        for key_id, told in batch.refusals.items():
            for one in told:
                arguments += (word(key_id), one)
        written, journal = layout.usage_written(batch.process), layout.usage_journal(batch.process)
        keys = (written, layout.USAGE, layout.USAGE_JOURNALS, journal)
        return await self._write(scripts.USAGE(keys, *arguments)) >= 0

    async def note(self, process: str, number: int, pages: Sequence[Page]) -> bool:
        """Keep pages. See `UsageStore`."""
        arguments: list[str | int] = [number, DAY_SECONDS, JOURNAL_KEPT_SECONDS, process]
        for page in pages:
            arguments += (page.name, counts_told(await self._places_of(page), page.told))
        keys = (layout.usage_written(process), layout.USAGE_JOURNALS, layout.usage_journal(process))
        return await self._write(scripts.USAGE_NOTE(keys, *arguments)) >= 0

    async def journals(self) -> Mapping[str, int]:
        """Return who has pages. See `UsageStore`."""
        (found,) = await self._link.read(("HGETALL", layout.USAGE_JOURNALS))
        return {process: int(number) for process, number in found.items()}

    async def take_over(self, process: str, number: int) -> Sequence[str]:
        """Have no more from a process. See `UsageStore`."""
        keys = (layout.usage_written(process), layout.USAGE_JOURNALS, layout.usage_journal(process))
        (pages,) = await self._link.write(scripts.USAGE_TAKE_OVER(keys, process, number, DAY_SECONDS))
        return list(pages)

    async def fold(self, process: str, page: str, number: int = 0) -> None:
        """Add a page. See `UsageStore`."""
        arguments = (number, DAY_SECONDS, process, page, *steps_told(minute_of(page)))
        written, journal = layout.usage_written(process), layout.usage_journal(process)
        await self._write(
            scripts.USAGE_FOLD((written, layout.USAGE, layout.USAGE_JOURNALS, journal), *arguments)
        )

    async def top(self, selection: Selection) -> Sequence[Ranked]:
        """Return the busiest places. See `UsageStore`."""
        keys = [
            layout.usage_places(selection.step.name, selection.kind, period) for period in selection.periods()
        ]
        # More than are wanted, where some of them are left out.
        most = RANKED if selection.tier is selection.route is None else 5 * RANKED
        replies = await self._read([("ZREVRANGE", key, 0, most - 1, "WITHSCORES") for key in keys])
        return [one for reply in replies for one in ranked(reply) if selection.fits(one.tier, one.route)]

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
        (told,) = await self._link.read(("LRANGE", layout.usage_refusals(word(key_id)), 0, -1))
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
        hashes = [layout.usage_of(step.name, kind, number, word(name)) for name in names]
        replies = await self._read([("HGETALL", key) for key in hashes])
        return [
            Cell(name, tier, route, at, counts)
            for name, fields in zip(names, replies, strict=True)
            for at, tier, route, counts in fields_told(step, period.begins, fields)
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
                    word(name),
                    orjson.dumps((tier, route)).decode(),
                    (at - period.begins) // step.seconds,
                    trimmed(counts),
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
        hashes = [layout.usage_of(step.name, kind, period, word(name)) for period, name in whose]
        replies = await self._read([("HGETALL", key) for key in hashes])
        for (period, name), fields in zip(whose, replies, strict=True):
            if fields:
                _collect(found, selection, period * step.span, name, fields)
                # A hash may have thousands of fields: checks come in between.
                await asyncio.sleep(0)
        return [one for one, fields in zip(whose, replies, strict=True) if not fields]

    async def _places_of(self, page: Page) -> str:
        """Return how the places of a page are told: that takes longer than their counts, which change.

        They are the same on all pages of a sheet.
        """
        known = self._told.get(page.sheet)
        if known is None or known[0] != len(page.places):
            known = self._told[page.sheet] = len(page.places), places_told(page.places)
            # Checks come in between.
            await asyncio.sleep(0)
        return known[1]

    async def _write(self, script: scripts.Command) -> int:
        (reply,) = await self._link.write(script)
        return int(reply)

    async def _read(self, commands: Sequence[scripts.Command]) -> list[Any]:
        parts = [commands[first : first + _AT_ONCE] for first in range(0, len(commands), _AT_ONCE)]
        return [reply for part in parts for reply in await self._link.read(*part)]


def _collect(
    found: dict[tuple[str, int], Counts], selection: Selection, begins: int, name: str, fields: dict[str, str]
) -> None:
    """Add up the fields of one hash that are asked for."""
    for at, tier, route, counts in fields_told(selection.step, begins, fields):
        if selection.since <= at < selection.until and selection.fits(tier, route):
            cell = (selection.group_of(name, tier, route), at)
            found[cell] = added(found[cell], counts) if cell in found else counts
