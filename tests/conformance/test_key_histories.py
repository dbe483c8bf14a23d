"""What every key store keeps about keys beside their records; each test runs on every row of the table."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from extauth.errors import ConflictError, InvalidInputError, NotFoundError, TooManyKeysError
from extauth.stores.base import (
    MOST_ADDRESSES,
    OTHER_ADDRESSES,
    AuditEntry,
    AuditFilter,
    GraceUse,
    KeyStore,
    KeyUse,
)
from tests.fakes import START
from tests.keys import entry, record, rotated

from .conftest import Run

HOUR = timedelta(hours=1)
OLD, NEW = "AAAAbbbb0001", "AAAAbbbb0002"


async def audited(
    store: KeyStore, wanted: AuditFilter | None = None, *, limit: int = 100
) -> list[AuditEntry]:
    """Return all entries, newest first, over all pages."""
    entries: list[AuditEntry] = []
    cursor = None
    while True:
        page = await store.audit(wanted or AuditFilter(), cursor=cursor, limit=limit)
        entries += page.entries
        cursor = page.next_cursor
        if cursor is None:
            return entries


def test_each_change_leaves_its_entry(run: Run) -> None:
    """With all that was written, ids that rise, newest first."""

    async def scenario(store: KeyStore) -> None:
        made = entry(
            before={}, after={"name": "é", "scopes": ["a"], "n": None}, at=START + timedelta(microseconds=7)
        )
        await store.add(record(), made)
        await store.save(record(version=2, name="new"), entry(action="key.updated", before={"name": "é"}))
        await store.note(entry("", action="audit.read", actor="key:abc"))
        entries = await audited(store)
        assert [one.action for one in entries] == ["audit.read", "key.updated", "key.created"]
        assert replace(entries[2], id="") == made
        assert len({one.id for one in entries}) == 3

    run(scenario)


def test_a_refused_change_leaves_none(run: Run) -> None:
    """The log holds what happened, not what somebody tried."""

    async def scenario(store: KeyStore) -> None:
        await store.add(record(), entry())
        for refused in (
            store.add(record(), entry()),
            store.save(record(version=5), entry()),
            store.save(record(NEW, version=2), entry(NEW)),
            store.rotate(record(version=9), record(NEW), rotated()),
            store.rotate(record(NEW, version=2), record("AAAAbbbb0003"), rotated(NEW, "AAAAbbbb0003")),
            store.add(record(NEW), entry(NEW), most_of_user=1),
        ):
            with pytest.raises((ConflictError, NotFoundError)):
                await refused
        assert len(await audited(store)) == 1
        assert await store.count() == 1

    run(scenario)


@pytest.mark.parametrize("limit", [1, 2, 100])
@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        ({}, [4, 3, 2, 1, 0]),
        ({"key_id": OLD}, [4, 2, 0]),
        ({"actor": "bob"}, [3, 0]),
        ({"action": "key.updated"}, [4, 3]),
        ({"key_id": OLD, "actor": "bob"}, [0]),
        ({"since": START + HOUR}, [4, 3, 2, 1]),
        ({"until": START + 3 * HOUR}, [2, 1, 0]),
        ({"since": START + HOUR, "until": START + 3 * HOUR, "key_id": NEW}, [1]),
        ({"actor": "nobody"}, []),
    ],
)
def test_the_log_can_be_filtered(run: Run, wanted: dict[str, Any], numbers: list[int], limit: int) -> None:
    """By key, actor, action and time, all at once; each entry stands on exactly one page."""

    async def scenario(store: KeyStore) -> None:
        for number in range(5):
            await store.note(
                entry(
                    OLD if number % 2 == 0 else NEW,
                    at=START + number * HOUR,
                    actor="bob" if number in {0, 3} else "ann",
                    action="key.updated" if number > 2 else "key.created",
                    source=str(number),
                )
            )
        found = await audited(store, AuditFilter(**wanted), limit=limit)
        assert [int(one.source) for one in found] == numbers

    run(scenario)


@pytest.mark.parametrize("cursor", ["", "x", "-1", "1.5", "9" * 5_000, "1; drop", "\u0661"])
def test_a_cursor_that_no_log_handed_out_is_refused(run: Run, cursor: str) -> None:
    """As a mistake of whoever asks."""

    async def scenario(store: KeyStore) -> None:
        await store.note(entry())
        with pytest.raises(InvalidInputError):
            await store.audit(cursor=cursor)

    run(scenario)


def test_old_entries_can_be_trimmed(run: Run) -> None:
    """Those from before that time go, and no others."""

    async def scenario(store: KeyStore) -> None:
        for number in range(5):
            await store.note(entry(at=START + number * HOUR))
        assert await store.trim_audit(START + 2 * HOUR) == 2
        assert await store.trim_audit(START + 2 * HOUR) == 0
        assert [one.at for one in await audited(store)] == [START + number * HOUR for number in (4, 3, 2)]

    run(scenario)


def test_a_rotation_changes_both_records(run: Run) -> None:
    """The old one knows its successor, the new one is there, and each has its entry."""

    async def scenario(store: KeyStore) -> None:
        await store.add(record(), entry())
        old = record(rotated_to=NEW, rotated_at=START, grace_until=START + HOUR, version=2)
        await store.rotate(old, record(NEW, rotated_from=OLD), rotated())
        kept, made = await store.get(OLD), await store.get(NEW)
        assert kept is not None
        assert made is not None
        assert (kept.rotated_to, kept.grace_until, kept.version) == (NEW, START + HOUR, 2)
        assert (made.rotated_from, made.version) == (OLD, 1)
        assert await store.count() == 2
        told = [(one.key_id, one.action, dict(one.after)) for one in await audited(store)]
        assert told == [
            (NEW, "key.created", {"rotated_from": OLD}),
            (OLD, "key.rotated", {}),
            (OLD, "key.created", {}),
        ]
        assert [one.action for one in await audited(store, AuditFilter(key_id=NEW))] == ["key.created"]
        assert await store.trim_audit(START + HOUR) == 3
        assert await audited(store, AuditFilter(key_id=NEW)) == []

    run(scenario)


def test_a_rotation_that_comes_second_leaves_no_key(run: Run) -> None:
    """Where the old key changed meanwhile, neither the new one is there nor an entry of it."""

    async def scenario(store: KeyStore) -> None:
        await store.add(record(), entry())
        rotations = [
            store.rotate(record(rotated_to=new_id, version=2), record(new_id), rotated(new=new_id))
            for new_id in (f"AAAAbbbb01{number:02}" for number in range(8))
        ]
        results = await asyncio.gather(*rotations, return_exceptions=True)
        assert sum(isinstance(result, ConflictError) for result in results) == 7
        assert await store.count() == 2
        kept = await store.get(OLD)
        assert kept is not None
        assert kept.rotated_to is not None
        assert await store.get(kept.rotated_to) is not None
        assert [one.key_id for one in await audited(store)] == [kept.rotated_to, OLD, OLD]

    run(scenario)


def test_a_user_has_no_more_keys_than_the_policy_allows(run: Run) -> None:
    """Also where many are made at once; revoked ones don't count, disabled ones do."""

    async def scenario(store: KeyStore) -> None:
        ids = [f"AAAAbbbb1{number:03}" for number in range(8)]
        adding = [store.add(record(key_id), entry(key_id), most_of_user=3) for key_id in ids]
        results = await asyncio.gather(*adding, return_exceptions=True)
        assert sum(isinstance(result, TooManyKeysError) for result in results) == 5
        assert await store.count() == 3
        made = next(key_id for key_id, result in zip(ids, results, strict=True) if result is None)
        await store.save(record(made, active=False, version=2), entry(made))
        with pytest.raises(TooManyKeysError):
            await store.add(record(OLD), entry(), most_of_user=3)
        await store.save(record(made, active=False, revoked_at=START, version=3), entry(made))
        await store.add(record(OLD), entry(), most_of_user=3)
        await store.add(record(NEW, user_id="another"), entry(NEW), most_of_user=1)

    run(scenario)


def test_keys_revoked_long_ago_can_be_purged(run: Run) -> None:
    """With all that is kept about them; those revoked later and those alive stay."""

    async def scenario(store: KeyStore) -> None:
        for number in range(6):
            key_id = f"AAAAbbbb000{number}"
            revoked = START + number * HOUR if number < 5 else None
            await store.add(record(key_id, revoked_at=revoked, active=number == 5), entry(key_id))
        await store.note_uses([KeyUse(key_id="AAAAbbbb0000", last_used=START, calls={"a": 1})])
        purging = entry("", action="key.purged")
        assert len(await store.purge(START + 3 * HOUR, purging, limit=2)) == 2
        assert len(await store.purge(START + 3 * HOUR, purging, limit=2)) == 1
        assert await store.purge(START + 3 * HOUR, purging, limit=2) == ()
        assert [key.key_id[-1] for key in (await store.list()).keys] == ["3", "4", "5"]
        assert await store.count() == 3
        assert await store.grace_use("AAAAbbbb0000") == GraceUse()
        purged = await audited(store, AuditFilter(action="key.purged"))
        assert sorted(one.key_id[-1] for one in purged) == ["0", "1", "2"]

    run(scenario)


def test_a_purged_id_can_be_used_again_and_is_a_change(run: Run) -> None:
    """A migration may bring a key back; servers notice that as they notice any change."""

    async def scenario(store: KeyStore) -> None:
        await store.add(record(revoked_at=START, active=False), entry())
        start = await store.changes(None)
        await store.purge(START + HOUR, entry("", action="key.purged"))
        await store.add(record(), entry())
        if not store.is_shared:
            assert (await store.changes(start.cursor)).key_ids == (OLD,)
        assert list(await store.versions([OLD])) == [1]

    run(scenario)


def test_uses_go_only_forwards(run: Run) -> None:
    """Nodes write in any order; unknown keys are passed over; neither version nor changes tell."""

    async def scenario(store: KeyStore) -> None:
        await store.add(record(), entry())
        start = await store.changes(None)
        for hours, expected in ((2, 2), (1, 2), (3, 3)):
            uses = [
                KeyUse(key_id="AAAAbbbb0009", last_used=START),
                KeyUse(key_id=OLD, last_used=START + hours * HOUR),
            ]
            await store.note_uses(uses)
            key = await store.get(OLD)
            assert key is not None
            assert (key.last_used, key.version) == (START + expected * HOUR, 1)
        assert (await store.changes(start.cursor)).key_ids == ()
        assert await store.get("AAAAbbbb0009") is None

    run(scenario)


def test_uses_of_many_keys_are_noted_together(run: Run) -> None:
    """Each at its own time, with its own calls, beside keys that nobody knows."""

    async def scenario(store: KeyStore) -> None:
        known = [f"AAAAbbbb1{number:03}" for number in range(0, 450, 5)]
        await asyncio.gather(*(store.add(record(key_id, last_used=None), entry(key_id)) for key_id in known))
        uses = {
            key_id: KeyUse(key_id=key_id, last_used=START + (number % 7) * HOUR, calls=calls)
            for number in range(450)
            for key_id, calls in ((f"AAAAbbbb1{number:03}", {"a": number} if number % 10 == 0 else {}),)
        }
        await store.note_uses(list(uses.values()))
        for key_id in known:
            key = await store.get(key_id)
            assert key is not None
            assert (key.last_used, key.version) == (uses[key_id].last_used, 1)
            assert (await store.grace_use(key_id)).calls == sum(uses[key_id].calls.values())
        assert await store.get("AAAAbbbb1001") is None
        assert (await store.grace_use("AAAAbbbb1001")).calls == 0

    run(scenario)


def test_a_change_keeps_a_later_use(run: Run) -> None:
    """Whoever saves a record read it before, and must not undo what was noted since."""

    async def scenario(store: KeyStore) -> None:
        await store.add(record(), entry())
        await store.note_uses([KeyUse(key_id=OLD, last_used=START + HOUR)])
        await store.save(record(version=2, last_used=None), entry())
        await store.rotate(record(version=3, rotated_to=NEW, last_used=START), record(NEW), rotated())
        key = await store.get(OLD)
        assert key is not None
        assert key.last_used == START + HOUR

    run(scenario)


def test_calls_in_a_grace_are_added_up_by_address(run: Run) -> None:
    """Most frequent first; beyond a number of addresses the rest is one."""

    async def scenario(store: KeyStore) -> None:
        assert await store.grace_use(OLD) == GraceUse()
        await store.add(record(), entry())
        assert await store.grace_use(OLD) == GraceUse()
        for calls in ({"192.0.2.1": 2, "2001:db8::1": 1}, {"2001:db8::1": 4}):
            await store.note_uses([KeyUse(key_id=OLD, last_used=START, calls=calls)])
        use = await store.grace_use(OLD)
        assert use == GraceUse(7, {"2001:db8::1": 5, "192.0.2.1": 2})
        assert list(use.addresses) == ["2001:db8::1", "192.0.2.1"]
        many = {f"198.51.100.{number}": 1 for number in range(50)}
        await store.note_uses([KeyUse(key_id=OLD, last_used=START, calls=many)])
        await store.note_uses([KeyUse(key_id=OLD, last_used=START, calls={"192.0.2.1": 1, "new": 3})])
        use = await store.grace_use(OLD)
        assert use.calls == 7 + 50 + 4
        assert len(use.addresses) == MOST_ADDRESSES + 1
        assert use.addresses[OTHER_ADDRESSES] == 50 - (MOST_ADDRESSES - 2) + 3
        assert use.addresses["192.0.2.1"] == 3

    run(scenario)


def test_peppers_are_counted_by_the_keys_that_need_them(run: Run) -> None:
    """Revoked keys need none any more."""

    async def scenario(store: KeyStore) -> None:
        assert dict(await store.peppers()) == {}
        for number, pepper in enumerate(["aa", "bb", "aa", ""]):
            key_id = f"AAAAbbbb000{number}"
            await store.add(record(key_id, pepper_id=pepper), entry(key_id))
        assert dict(await store.peppers()) == {"aa": 2, "bb": 1, "": 1}
        revoked = record("AAAAbbbb0000", pepper_id="aa", revoked_at=START, active=False, version=2)
        await store.save(revoked, entry("AAAAbbbb0000"))
        old = record("AAAAbbbb0001", pepper_id="bb", rotated_to="AAAAbbbb0009", version=2)
        await store.rotate(old, record("AAAAbbbb0009", pepper_id="cc"), rotated())
        assert {name: number for name, number in (await store.peppers()).items() if number} == {
            "aa": 1,
            "bb": 1,
            "cc": 1,
            "": 1,
        }

    run(scenario)


def test_versions_come_in_the_order_asked(run: Run) -> None:
    """Also twice the same, and 0 where there is no record."""

    async def scenario(store: KeyStore) -> None:
        await store.add(record(), entry())
        await store.add(record(NEW), entry(NEW))
        await store.save(record(NEW, version=2), entry(NEW))
        assert list(await store.versions([NEW, "AAAAbbbb0009", OLD, NEW])) == [2, 0, 1, 2]
        assert list(await store.versions([])) == []

    run(scenario)


def test_durability_is_one_sentence(run: Run) -> None:
    """For operators, at start."""

    async def scenario(store: KeyStore) -> None:
        said = await store.durability()
        assert said.endswith(".")
        assert said[0].isupper()

    run(scenario)
