"""Usage in Redis: a hash for each key, user and period, whose fields are times, tiers and routes.

All of it is in one slot, so that one script can add to the minute, the hour and the day. It is asked through
connections of its own: a report over months holds up no key.
"""

from __future__ import annotations

from collections.abc import Sequence
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
    WIDTH,
    Batch,
    Counts,
    Ranked,
    Reading,
    Selection,
    Step,
    added,
    requests_of,
)

# Nobody's check waits for a report, and a batch that nobody waits for needn't be written twice.
PATIENCE_SECONDS = 5.0
# How many hashes are read in one trip: other servers' checks come in between.
_AT_ONCE = 200


class RedisUsageStore:
    """Usage in Redis. See `UsageStore`."""

    # Redis does nothing else while a script runs: so few are added in a millisecond or two.
    at_once = 25

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
        arguments += (OTHER, len(batch.counts))
        # Of each place once for its key and its user, and all together by tier and route.
        together: dict[tuple[str, str], Counts] = {}
        texts: dict[tuple[str, str], str] = {}
        for (key_id, user_id, tier, route), counts in batch.counts:
            where = (tier, route)
            known = together.get(where)
            if known is None:
                texts[where] = orjson.dumps(where).decode()
            together[where] = counts if known is None else added(known, counts)
            requests, numbers = requests_of(counts), _written(counts)
            arguments += (_word(key_id), _word(user_id), texts[where], requests, numbers)
        arguments.append(len(together))
        for where, counts in together.items():
            arguments += (texts[where], _written(counts))
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
        step = selection.step
        whose = [(period, name) for name in selection.names for period in selection.periods()]
        replies = await self._read(
            [
                ("HGETALL", layout.usage_of(step.name, selection.kind, period, _word(name)))
                for period, name in whose
            ]
        )
        found: dict[tuple[str, int], Counts] = {}
        for (period, name), fields in zip(whose, replies, strict=True):
            if fields:
                _collect(found, selection, period * step.span, name, fields)
        return [Reading(group, at, counts) for (group, at), counts in found.items()]

    async def refusals(self, key_id: str) -> Sequence[str]:
        """Return the latest refusals. See `UsageStore`."""
        (told,) = await self._link.read(("LRANGE", layout.usage_refusals(_word(key_id)), 0, -1))
        return list(told)

    async def close(self) -> None:
        """Let go of all connections."""
        await self._link.close()

    async def _read(self, commands: Sequence[scripts.Command]) -> list[Any]:
        parts = [commands[first : first + _AT_ONCE] for first in range(0, len(commands), _AT_ONCE)]
        return [reply for part in parts for reply in await self._link.read(*part)]


def _step(step: Step, minute: int) -> tuple[str | int, ...]:
    period = step.period(minute)
    place = (minute - period * step.span) // step.seconds
    # A period is kept until its last time is old enough.
    return step.name, period, place, step.kept + step.span, step.places


def _word(name: str) -> str:
    """Return a name without spaces: one ends it in the places of a period."""
    return quote(name, safe="!$&'()*+,/:;=?@[]|~") if not name.isalnum() else name


def _written(counts: Counts) -> str:
    last = len(counts)
    while last > 1 and not counts[last - 1]:
        last -= 1
    return orjson.dumps(counts[:last]).decode()


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
    known: dict[str, tuple[str, str]] = {}
    try:
        for text, numbers in fields.items():
            place, bracket, rest = text.partition("[")
            at = begins + int(place) * selection.step.seconds
            if not selection.since <= at < selection.until:
                continue
            if rest not in known:
                tier, route = orjson.loads(bracket + rest)
                known[rest] = (tier, route)
            tier, route = known[rest]
            if not selection.fits(tier, route):
                continue
            counts = [int(number) for number in orjson.loads(numbers)]
            counts += [0] * (WIDTH - len(counts))
            cell = (selection.group_of(name, tier, route), at)
            found[cell] = added(found[cell], counts) if cell in found else counts
    except (TypeError, ValueError) as error:
        raise StoreError(f"a count of usage can't be read: {error}") from error
