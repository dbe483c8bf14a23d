"""The audit log: entries are appended once, read newest first, and forgotten only by their age."""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypeAlias

import orjson

from extauth.clock import to_us
from extauth.errors import InvalidInputError
from extauth.stores.base import LOOKED_AT_ONCE, AuditEntry, AuditFilter, AuditPage
from extauth.stores.redis import layout, scripts
from extauth.stores.redis.fields import entry_from_json, entry_values
from extauth.stores.redis.link import RedisLink, Sync

# How many entries are read in one trip.
_AT_ONCE = 200
_CURSOR = re.compile(r"[0-9]{1,15}")


class _Stored(NamedTuple):
    entry: AuditEntry
    change_id: str


# Gives entries with numbers below one, newest first, at most so many; the numbers that were looked at are all
# above the last one given, or there are no more.
_Source: TypeAlias = Callable[[int, int], Awaitable[Sequence[_Stored]]]


def append_command(change_id: str, values: Mapping[str, Any]) -> scripts.Command:
    """Return what appends an entry, unless one of that change was appended for the same key before."""
    keys = [layout.AUDIT_ENTRIES, layout.AUDIT_TIMES, layout.AUDIT_LAST]
    if values["key_id"]:
        keys.append(layout.audit_of_key(values["key_id"]))
    return scripts.APPEND(keys, change_id, values["at"], orjson.dumps(values).decode())


class Journal:
    """Reads and trims the audit log, and writes what belongs to no change of a record."""

    def __init__(self, link: RedisLink) -> None:
        self._link = link

    async def note(self, entry: AuditEntry) -> None:
        """Append an entry. See `KeyStore`."""
        append = append_command(secrets.token_hex(8), entry_values(entry))
        await self._link.write(append, sync=Sync.STEP if self._link.is_cluster else Sync.LAST)

    async def page(self, wanted: AuditFilter, *, cursor: str | None, limit: int) -> AuditPage:
        """Return a page. See `KeyStore`."""
        below = _parse_cursor(cursor)
        source = await self._source(wanted)
        found: list[AuditEntry] = []
        looked = 0
        while looked < LOOKED_AT_ONCE:
            stored = await source(below, _AT_ONCE)
            for entry, _ in stored:
                if wanted.fits(entry):
                    if len(found) == limit:
                        return AuditPage(tuple(found), found[-1].id if found else str(below))
                    found.append(entry)
                below = int(entry.id)
            looked += len(stored)
            if len(stored) < _AT_ONCE:
                return AuditPage(tuple(found), None)
        return AuditPage(tuple(found), str(below))

    async def trim(self, before: datetime) -> int:
        """Forget old entries. See `KeyStore`."""
        trimmed = 0
        while True:
            old = ("ZRANGE", layout.AUDIT_TIMES, "-inf", f"({to_us(before)}", "BYSCORE", "LIMIT", 0, _AT_ONCE)
            ((*numbers,),) = await self._link.read(old)
            if not numbers:
                return trimmed
            stored = await self._entries(numbers)
            # The times go last: whatever is cut off before them is found again.
            *_, removed, _ = await self._link.write(
                *(
                    ("ZREM", layout.audit_of_key(entry.key_id), change_id)
                    for entry, change_id in stored
                    if entry.key_id
                ),
                ("XDEL", layout.AUDIT_ENTRIES, *(f"{number}-0" for number in numbers)),
                ("ZREM", layout.AUDIT_TIMES, *numbers),
                sync=Sync.STEP if self._link.is_cluster else Sync.LAST,
            )
            trimmed += removed

    async def _source(self, wanted: AuditFilter) -> _Source:
        """Choose what leads to the entries with the fewest looks."""
        if wanted.key_id:
            return self._of_key(layout.audit_of_key(wanted.key_id))
        since = "-inf" if wanted.since is None else to_us(wanted.since)
        until = "+inf" if wanted.until is None else f"({to_us(wanted.until)}"
        if (since, until) != ("-inf", "+inf"):
            (number,) = await self._link.read(("ZCOUNT", layout.AUDIT_TIMES, since, until))
            if number < LOOKED_AT_ONCE:
                ((*numbers,),) = await self._link.read(
                    ("ZRANGE", layout.AUDIT_TIMES, since, until, "BYSCORE", "LIMIT", 0, LOOKED_AT_ONCE)
                )
                return self._of_numbers(sorted(map(int, numbers), reverse=True))
        return self._of_all

    async def _of_all(self, below: int, most: int) -> Sequence[_Stored]:
        command = ("XREVRANGE", layout.AUDIT_ENTRIES, f"({below}-0", "-", "COUNT", most)
        (rows,) = await self._link.read(command)
        return [_stored(row) for row in rows]

    def _of_key(self, index: str) -> _Source:
        async def source(below: int, most: int) -> Sequence[_Stored]:
            command = ("ZRANGE", index, f"({below}", "-inf", "BYSCORE", "REV", "LIMIT", 0, most, "WITHSCORES")
            (flat,) = await self._link.read(command)
            return await self._entries([int(score) for score in flat[1::2]])

        return source

    def _of_numbers(self, numbers: Sequence[int]) -> _Source:
        async def source(below: int, most: int) -> Sequence[_Stored]:
            return await self._entries([number for number in numbers if number < below][:most])

        return source

    async def _entries(self, numbers: Sequence[int | str]) -> Sequence[_Stored]:
        if not numbers:
            return []
        commands = ((f"{number}-0", f"{number}-0") for number in numbers)
        rows = await self._link.read(*(("XRANGE", layout.AUDIT_ENTRIES, *bounds) for bounds in commands))
        return [_stored(row) for found in rows for row in found]


def _stored(row: tuple[str, Mapping[str, str]]) -> _Stored:
    number, fields = row
    return _Stored(entry_from_json(fields["entry"], number.partition("-")[0]), fields["change"])


def _parse_cursor(cursor: str | None) -> int:
    if cursor is None:
        return 10**15
    if _CURSOR.fullmatch(cursor) is None:
        raise InvalidInputError.of([("cursor", "the cursor is not one that a log handed out")])
    return int(cursor)
