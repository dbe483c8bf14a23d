"""How usage is told in the texts of Redis: arguments of scripts, pages of journals, fields of hashes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote, unquote

import orjson

from extauth.errors import StoreError
from extauth.stores.usage import OTHER, STEPS, UPSTREAM, WIDTH, Counts, PlainPlace, Ranked, Step, whole

# What may stand in a name as it is; looking at it costs a fraction of quoting it.
_SAFE = "!$&'()*+,/:;=?@[]|~"
_PLAIN = re.compile(rf"[0-9A-Za-z_.\-{re.escape(_SAFE)}]+").fullmatch


def steps_told(minute: int) -> list[str | int]:
    """Return what scripts need to know of the steps that a minute is counted in: see `usage_adding.lua`."""
    told: list[str | int] = []
    for step in STEPS:
        told += _step(step, minute)
    return [*told, OTHER]


def _step(step: Step, minute: int) -> tuple[str | int, ...]:
    period = step.period(minute)
    place = (minute - period * step.span) // step.seconds
    # A period is kept until its last time is old enough.
    return step.name, period, place, step.kept + step.span, step.places


def places_told(places: Sequence[PlainPlace]) -> str:
    """Return all tiers and routes, as JSON, then of each place the key, the user and which of those."""
    numbers: dict[tuple[str, str], int] = {}
    # All at once, as looking at each takes longer: where many keys come and go most sheets are new.
    plain = _PLAIN("".join([name for place in places for name in place[:2]]))
    told = [
        # Lua counts from one.
        (
            key_id if plain else word(key_id),
            user_id if plain else word(user_id),
            numbers.setdefault((tier, route), len(numbers) + 1),
        )
        for key_id, user_id, tier, route in places
    ]
    wheres = [orjson.dumps(where).decode() for where in numbers]
    return f"{orjson.dumps(wheres).decode()},{orjson.dumps(told).decode()}"


def counts_told(places: str, counts: bytes) -> str:
    """Return counts as one JSON text: to send each by itself takes the client longer than all else.

    `counts` are JSON already; `places` is what `places_told` says of where they were counted.
    """
    return f"[{places},{counts.decode()}]"


def word(name: str) -> str:
    """Return a name without spaces: one ends it in the places of a period."""
    return name if name.isalnum() or _PLAIN(name) else quote(name, safe=_SAFE)


def trimmed(counts: Counts) -> Counts:
    """Leave out zeros at the end; hardly any request has its end reported."""
    last = WIDTH if any(counts[UPSTREAM:]) else UPSTREAM
    while last > 1 and not counts[last - 1]:
        last -= 1
    return counts[:last]


def ranked(reply: Sequence[Any]) -> list[Ranked]:
    """Read a sorted set of places with their requests. Raises StoreError."""
    try:
        found = []
        for place, requests in zip(reply[::2], reply[1::2], strict=True):
            name, _, where = place.partition(" ")
            tier, route = orjson.loads(where)
            found.append(Ranked(unquote(name), tier, route, int(float(requests))))
    except ValueError as error:
        raise StoreError(f"a place of usage can't be read: {error}") from error
    return found


def fields_told(step: Step, begins: int, fields: dict[str, str]) -> Iterator[tuple[int, str, str, list[int]]]:
    """Read the fields of a hash: a time, a tier, a route, and what was counted. Raises StoreError."""
    known: dict[str, tuple[str, str]] = {}
    try:
        for text, numbers in fields.items():
            place, bracket, rest = text.partition("[")
            if rest not in known:
                tier, route = orjson.loads(bracket + rest)
                known[rest] = (tier, route)
            counts = [int(number) for number in orjson.loads(numbers)]
            yield begins + int(place) * step.seconds, *known[rest], whole(counts)
    except (TypeError, ValueError) as error:
        raise StoreError(f"a count of usage can't be read: {error}") from error
