"""Changes of records, each complete and audited once, whenever whoever makes it dies.

A record, the indexes and the audit log lie in slots of their own, so no step covers all of them. A change

1. notes in the journal what it is about to do (and for a new key takes its place among the user's keys),
2. replaces the record if it still has the version that was read, and with it puts a note into the record's
   outbox: where the key may be listed from before, and the audit entries,
3. makes the indexes agree with the record and appends the entries to the log, once by the change's id,
4. strikes the note out, if the indexes still agree with the record, else does 3 again,
5. strikes the change out of the journal.

What is still in the journal after a while was left behind: whoever finds it does 3 to 5 for it. All of these
can be done again, and by several at once. What a caller is told has happened, has got to 5.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Any

import orjson

from extauth.errors import ConflictError, ExtauthError, NotFoundError, StoreError, TooManyKeysError
from extauth.model import ApiKey
from extauth.stores.base import AuditEntry
from extauth.stores.redis import layout, places, scripts
from extauth.stores.redis.fields import entry_values, from_fields, from_flat, optional_us, to_fields
from extauth.stores.redis.journal import append_command
from extauth.stores.redis.link import RedisLink, RefusedError, Sync
from extauth.stores.redis.places import Place

# When a change was left behind by whoever began it; nobody goes on with one that took half as long.
LEFT_BEHIND_AFTER_MS = 30_000
_GIVEN_UP_AFTER_SECONDS = LEFT_BEHIND_AFTER_MS / 2000
# How many changes are repaired in one go, and how often a record may change while its indexes are written.
_AT_ONCE = 100
_ROUNDS = 50


@dataclass(frozen=True, slots=True)
class Change:
    """A change under way: its id, the key, and where the key might be listed because of it."""

    change_id: str
    key_id: str
    place: Place

    @classmethod
    def of(cls, key_id: str, place: Place) -> Change:
        """Begin one."""
        return cls(secrets.token_hex(8), key_id, place)

    def to_json(self) -> str:
        """Return what stands in the journal."""
        place = self.place
        fields = [self.change_id, self.key_id, *astuple(place)]
        return orjson.dumps(fields).decode()

    @classmethod
    def from_json(cls, text: str) -> Change:
        """Read what stands in the journal."""
        change_id, key_id, *place = orjson.loads(text)
        return cls(change_id, key_id, Place(*place))


@dataclass(frozen=True, slots=True)
class _Seen:
    """A record as it was at some moment, and the notes in its outbox."""

    key: ApiKey | None
    notes: Sequence[str]


class Changes:
    """Makes changes. What one leaves behind when it dies, any other one finds and finishes."""

    def __init__(self, link: RedisLink) -> None:
        self._link = link

    async def add(
        self, key: ApiKey, *entries: AuditEntry, most_of_user: int | None = None, last: bool = True
    ) -> None:
        """Keep a new record. See `KeyStore`; `last` is False where another change follows at once."""
        change = Change.of(key.key_id, Place.of(key))
        started = _now()
        left = await self._begin_adding(change, key, most_of_user)
        note = _note(change, entries)
        put = scripts.PUT(_record_keys(key.key_id)[:2], 0, note, *to_fields(key))
        outcome, *notes = await self._decide(put, started)
        if outcome != "done":
            # The place that was taken is not this record's.
            await self._finish(change, None, last=False)
            raise _refusal(outcome, key.key_id)
        await self._complete(change, _Seen(key, notes[0]), last=last)
        await self._repair_quietly(left)

    async def save(self, key: ApiKey, *entries: AuditEntry) -> None:
        """Replace a record. See `KeyStore`."""
        place = await self._place_before(key)
        change = Change.of(key.key_id, place)
        started = _now()
        left = await self._begin(change)
        put = scripts.PUT(
            _record_keys(key.key_id)[:2],
            key.version - 1,
            _note(change, entries),
            *_without_use(to_fields(key)),
        )
        outcome, *notes = await self._decide(put, started)
        if outcome != "done":
            await self._strike(change)
            raise _refusal(outcome, key.key_id)
        await self._complete(change, _Seen(key, notes[0]))
        await self._repair_quietly(left)

    async def rotate(self, old: ApiKey, new: ApiKey, entries: tuple[AuditEntry, AuditEntry]) -> None:
        """Save the old record and add the new one. See `KeyStore`."""
        # The new key first: an old one that names a successor always has it. Its entry comes with the old
        # one's change all the same, because the rotation has not happened before that.
        await self._place_before(old)
        await self.add(new, last=False)
        try:
            await self.save(old, *entries)
        except (ConflictError, NotFoundError, RefusedError):
            await self.remove(new.key_id, new.version, Place.of(new))
            raise

    async def remove(self, key_id: str, version: int, place: Place, *entries: AuditEntry) -> bool:
        """Forget a record and the calls in its grace; return False where it changed meanwhile."""
        change = Change.of(key_id, place)
        started = _now()
        await self._begin(change)
        outcome, *notes = await self._decide(
            scripts.REMOVE(_record_keys(key_id), version, _note(change, entries)), started
        )
        if outcome == "done":
            await self._complete(change, _Seen(None, notes[0]))
        else:
            await self._finish(change, None, last=False)
        return bool(outcome == "done")

    async def repair(self, *, left_for_ms: int = LEFT_BEHIND_AFTER_MS) -> int:
        """Finish all changes that were left behind; return how many."""
        repaired = 0
        while True:
            (left,) = await self._link.read(scripts.LEFT([layout.UNDER_WAY], left_for_ms, _AT_ONCE))
            for text in left:
                await self._finish(Change.from_json(text), None)
            repaired += len(left)
            if len(left) < _AT_ONCE:
                return repaired

    async def unlist(self, key_id: str, place: Place) -> None:
        """Make the indexes agree with a record, or with there being none, that they disagree with."""
        await self._finish(Change.of(key_id, place), None, last=False)

    async def _begin(self, change: Change) -> list[str]:
        (left,) = await self._link.write(self._intent(change), sync=Sync.STEP)
        return list(left)

    async def _begin_adding(self, change: Change, key: ApiKey, most_of_user: int | None) -> list[str]:
        user = [layout.keys_of_user(key.user_id), layout.unrevoked_of_user(key.user_id)]
        most = "" if most_of_user is None else most_of_user
        reserve = scripts.RESERVE(user, key.key_id, optional_us(key.created_at) or 0, most)
        if self._link.is_cluster:
            left = await self._begin(change)
            (reserved,) = await self._link.write(reserve, sync=Sync.STEP)
        else:
            left, reserved = await self._link.write(self._intent(change), reserve)
        if not reserved:
            await self._strike(change)
            raise TooManyKeysError(f"user {key.user_id} has as many keys as they may have")
        return list(left)

    @staticmethod
    def _intent(change: Change) -> scripts.Command:
        return scripts.INTEND([layout.UNDER_WAY], change.to_json(), LEFT_BEHIND_AFTER_MS)

    async def _decide(self, command: scripts.Command, started: float) -> list[Any]:
        """Run the step that makes a change happen, or not."""
        if _now() - started > _GIVEN_UP_AFTER_SECONDS:
            # Somebody may have taken it for left behind, and have cleared up after it already.
            raise StoreError(f"{self._link.where}: too slow for a change; nothing was changed")
        (reply,) = await self._link.write(command, sync=Sync.STEP)
        return list(reply)

    async def _complete(self, change: Change, seen: _Seen, *, last: bool = True) -> None:
        """Finish a change that has happened. Whatever fails from here on, nobody may take it for refused."""
        try:
            await self._finish(change, seen, last=last)
        except RefusedError as error:
            raise StoreError(f"{error}; the change holds, and the indexes follow later") from error

    async def _finish(self, change: Change, seen: _Seen | None, *, last: bool = True) -> None:
        """Do all that follows from the changes of a key, whoever made them, and strike this one out."""
        listed = {change.place}
        for _ in range(_ROUNDS):
            seen = seen or await self._look(change.key_id)
            notes = [orjson.loads(note) for note in seen.notes]
            listed |= {Place(*note["place"]) for note in notes}
            entries = [append_command(note["change"], entry) for note in notes for entry in note["entries"]]
            await self._link.write(
                *places.commands(change.key_id, seen.key, listed), *entries, sync=Sync.STEP
            )
            settle = scripts.SETTLE(_record_keys(change.key_id)[:2], *places.decisive(seen.key), *seen.notes)
            (settled,) = await self._link.write(settle)
            if settled:
                await self._strike(change, last=last)
                return
            if seen.key is not None:
                listed.add(Place.of(seen.key))
            seen = None
        raise StoreError(f"key {change.key_id} is being changed all the time")

    async def _look(self, key_id: str) -> _Seen:
        (reply,) = await self._link.read(scripts.LOOK(_record_keys(key_id)[:2]))
        flat, notes = reply
        return _Seen(from_fields(from_flat(flat)) if flat else None, notes)

    async def _strike(self, change: Change, *, last: bool = False) -> None:
        # On a single server the file is on the disk up to here, and so is all that was written before.
        sync = Sync.LAST if last else Sync.NEVER
        await self._link.write(("ZREM", layout.UNDER_WAY, change.to_json()), sync=sync)

    async def _place_before(self, key: ApiKey) -> Place:
        """Return where a record is listed that is about to be replaced, if it can be replaced."""
        command = ("HMGET", layout.record(key.key_id), "version", *places.FIELDS)
        (values,) = await self._link.read(command)
        version, *place = values
        if version is None:
            raise _refusal("missing", key.key_id)
        if version != str(key.version - 1):
            raise _refusal("changed", key.key_id)
        return Place.of_fields(dict(zip(places.FIELDS, place, strict=True)))

    async def _repair_quietly(self, left: Sequence[str]) -> None:
        for text in left:
            # The change that came upon them is done; a fault here is not its fault, and they stay noted.
            with contextlib.suppress(StoreError):
                await self._finish(Change.from_json(text), None)


def _now() -> float:
    return asyncio.get_running_loop().time()


def _record_keys(key_id: str) -> list[str]:
    return [layout.record(key_id), layout.outbox(key_id), layout.grace(key_id)]


def _note(change: Change, entries: Sequence[AuditEntry]) -> str:
    return orjson.dumps(
        {
            "change": change.change_id,
            "place": astuple(change.place),
            "entries": [entry_values(entry) for entry in entries],
        }
    ).decode()


def _without_use(flat: Sequence[str]) -> list[str]:
    pairs = zip(flat[::2], flat[1::2], strict=True)
    return [part for pair in pairs if pair[0] != "last_used" for part in pair]


def _refusal(outcome: str, key_id: str) -> ExtauthError:
    match outcome:
        case "taken":
            return ConflictError(f"key {key_id} exists already")
        case "missing":
            return NotFoundError(f"no key {key_id}")
    return ConflictError(f"key {key_id} was changed meanwhile")
