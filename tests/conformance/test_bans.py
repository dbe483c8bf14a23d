"""What every key store keeps of bans and of who fails most; each test runs on every row of the table."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from extauth.clock import to_us
from extauth.stores.bans import OFFENDERS_KEPT_US, Ban, Offender, Origin
from extauth.stores.base import AuditFilter, KeyStore
from tests.fakes import START
from tests.keys import entry

from .conftest import Run

NOW = to_us(START)
MINUTE = 60_000_000
ADDED = entry("", action="ban.added", after={"subject": "a"})
LIFTED = entry("", action="ban.lifted", before={"subject": "a"})


def ban(
    subject: str = "ip:192.0.2.7",
    *,
    origin: Origin = Origin.AUTOMATIC,
    began: int = 0,
    ends: int = 10,
    reason: str = "",
) -> Ban:
    """Return a ban; `began` and `ends` are in minutes from now."""
    return Ban(subject, origin, NOW + began * MINUTE, NOW + ends * MINUTE, reason)


async def kept(store: KeyStore) -> set[Ban]:
    """Return all bans; each subject has one at most."""
    found = await store.bans()
    assert found is not None
    assert len({each.subject for each in found.bans}) == len(found.bans)
    return set(found.bans)


def test_bans_are_kept_and_lifted(run: Run) -> None:
    """Whatever characters reasons and subjects have; each with its audit entry, and none for nothing."""
    odd = Ban("user:a\"{}%'é|b", Origin.MANUAL, NOW, NOW + MINUTE, 'tested: {} "é"', "key:abc")

    async def scenario(store: KeyStore) -> None:
        assert await kept(store) == set()
        await store.ban(odd, ADDED)
        await store.note_bans([ban(), ban("key:AAAAbbbb0001")])
        await store.note_bans([])
        assert await kept(store) == {odd, ban(), ban("key:AAAAbbbb0001")}
        assert await store.lift(odd.subject, LIFTED)
        assert not await store.lift(odd.subject, LIFTED)
        assert await store.lift(ban().subject, replace(LIFTED, key_id="AAAAbbbb0001"))
        assert await kept(store) == {ban("key:AAAAbbbb0001")}
        page = await store.audit()
        assert [one.action for one in page.entries] == ["ban.lifted", "ban.lifted", "ban.added"]
        assert page.entries[-1] == replace(ADDED, id=page.entries[-1].id)
        of_key = await store.audit(AuditFilter(key_id="AAAAbbbb0001"))
        assert [one.action for one in of_key.entries] == ["ban.lifted"]

    run(scenario)


def test_a_subject_has_one_ban(run: Run) -> None:
    """Of two automatic ones the longer; an operator's takes the place of any, and yields to none."""

    async def scenario(store: KeyStore) -> None:
        await store.note_bans([ban(ends=10)])
        await store.note_bans([ban(ends=5)])
        assert await kept(store) == {ban(ends=10)}
        await store.note_bans([ban(began=1, ends=20)])
        assert await kept(store) == {ban(began=1, ends=20)}
        ordered = ban(origin=Origin.MANUAL, ends=2, reason="why")
        await store.ban(ordered, ADDED)
        await store.note_bans([ban(began=1, ends=30)])
        assert await kept(store) == {ordered}
        other = ban(origin=Origin.MANUAL, ends=1, reason="other")
        await store.ban(other, ADDED)
        assert await kept(store) == {other}
        # It is over by then.
        await store.note_bans([ban(began=1, ends=3)])
        assert await kept(store) == {ban(began=1, ends=3)}

    run(scenario)


def test_bans_that_are_over_go(run: Run) -> None:
    """With the next one; nobody else tidies up."""

    async def scenario(store: KeyStore) -> None:
        await store.note_bans([ban(f"ip:192.0.2.{number}", ends=number) for number in range(1, 9)])
        await store.ban(ban("user:a", origin=Origin.MANUAL, began=6, ends=30), ADDED)
        assert {one.subject for one in await kept(store)} == {"ip:192.0.2.7", "ip:192.0.2.8", "user:a"}

    run(scenario)


def test_the_list_is_read_again_only_where_it_changed(run: Run) -> None:
    """Each change, and nothing else, makes it another revision."""

    async def scenario(store: KeyStore) -> None:
        async def revision(known: str) -> str | None:
            found = await store.bans(known)
            return None if found is None else found.revision

        seen = [await revision("")]
        changes = (
            store.note_bans([ban()]),
            store.ban(ban(origin=Origin.MANUAL), ADDED),
            store.lift(ban().subject, LIFTED),
            store.note_bans([ban()]),
        )
        for change in changes:
            known = seen[-1]
            assert known is not None
            assert await revision(known) is None
            await change
            seen.append(await revision(known))
        assert None not in seen
        assert len(set(seen)) == len(seen)
        known = seen[-1]
        assert known is not None
        await store.note_bans([ban()])
        await store.lift("ip:192.0.2.99", LIFTED)
        await store.note_offenders("a", [Offender("ip:192.0.2.7", 1, NOW)], NOW)
        assert await revision(known) is None

    run(scenario)


def test_many_may_ban_at_once(run: Run) -> None:
    """None of their bans is lost, and of those of one subject the longest holds."""

    async def scenario(store: KeyStore) -> None:
        await asyncio.gather(
            *(
                store.note_bans([ban("ip:192.0.2.99", ends=number), ban(f"ip:192.0.2.{number}")])
                for number in range(1, 20)
            )
        )
        assert await kept(store) == {
            ban("ip:192.0.2.99", ends=19),
            *(ban(f"ip:192.0.2.{number}") for number in range(1, 20)),
        }

    run(scenario)


def test_who_fails_most_is_what_each_process_said_last(run: Run) -> None:
    """Its last word, unless that was too long ago."""
    here = Offender("ip:192.0.2.7", 30, NOW, {"unknown key": 29, "malformed": 1})
    there = Offender("key:AAAAbbbb0001", 2, NOW, {"wrong secret": 2})

    async def scenario(store: KeyStore) -> None:
        assert list(await store.offenders(NOW)) == []
        await store.note_offenders("a", [here, there], NOW)
        await store.note_offenders("b", [here], NOW + 5)
        assert sorted(await store.offenders(NOW + 5)) == [here, here, there]
        await store.note_offenders("a", [there], NOW + 6)
        assert sorted(await store.offenders(NOW + 6)) == [here, there]
        assert list(await store.offenders(NOW + 5 + OFFENDERS_KEPT_US)) == [there]
        assert list(await store.offenders(NOW + 6 + OFFENDERS_KEPT_US)) == []
        await store.note_offenders("b", [], NOW + 7 + OFFENDERS_KEPT_US)
        assert list(await store.offenders(NOW + 7 + OFFENDERS_KEPT_US)) == []

    run(scenario)
