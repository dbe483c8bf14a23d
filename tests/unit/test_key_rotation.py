"""A key's successor: what it is like, and how long the old one goes on."""

from __future__ import annotations

from datetime import timedelta

import pytest

from extauth.errors import InvalidInputError
from extauth.keys.token import parse_key
from extauth.stores.base import KeyUse
from tests.fakes import START
from tests.managing import BY, Rig, new_key, run

DAY = timedelta(days=1)


def test_a_rotation_copies_the_settings_and_leaves_a_grace() -> None:
    """The new key is the old one with another secret; both end when the old one would have."""

    async def scenario(it: Rig) -> None:
        wanted = new_key(
            scopes=("a:read",), tier="pro", environment="test", lifetime=9 * DAY,
            limits={"rates": ["1/second"]},
            metadata={"team": "x"},
        )  # fmt: skip
        old = (await it.service.create(wanted, BY)).record
        it.clock.advance(seconds=60)
        issued = await it.service.rotate(old.key_id, BY, grace=2 * DAY)
        now = START + timedelta(seconds=60)
        new, kept = issued.record, await it.service.get(old.key_id)
        same = ("user_id", "name", "tier", "scopes", "environment", "expires_at", "limits", "metadata")
        assert all(getattr(new, name) == getattr(old, name) for name in same)
        assert (new.rotated_from, new.created_at, new.version) == (old.key_id, now, 1)
        assert (kept.rotated_to, kept.rotated_at, kept.grace_until) == (new.key_id, now, now + 2 * DAY)
        assert (kept.active, kept.revoked_at, kept.hashed_key) == (True, None, old.hashed_key)
        await it.hasher.verify(new.hashed_key, parse_key(issued.text).secret)
        ended, created = it.store.entries[-2:]
        assert (ended.action, ended.key_id) == ("key.rotated", old.key_id)
        assert ended.after["rotated_to"] == new.key_id
        assert (created.action, created.key_id) == ("key.created", new.key_id)
        assert (created.before, created.after["rotated_from"]) == ({}, old.key_id)
        assert (created.at, created.actor, created.source) == (ended.at, BY.name, BY.source)

    run(scenario)


def test_a_grace_is_a_day_unless_asked_otherwise_and_never_outlives_the_key() -> None:
    """Nothing at all is a grace too."""

    async def scenario(it: Rig) -> None:
        for lifetime, grace, ends in (
            (None, None, START + DAY),
            (None, timedelta(0), START),
            (timedelta(hours=1), None, START + timedelta(hours=1)),
        ):
            old = (await it.service.create(new_key(lifetime=lifetime), BY)).record
            await it.service.rotate(old.key_id, BY, grace=grace)
            assert (await it.service.get(old.key_id)).grace_until == ends

    run(scenario)


@pytest.mark.parametrize("grace", [timedelta(seconds=-1), timedelta(days=31)])
def test_a_grace_has_its_bounds(grace: timedelta) -> None:
    """A rotation that leaves the old key for months is none."""

    async def scenario(it: Rig) -> None:
        old = (await it.service.create(new_key(), BY)).record
        with pytest.raises(InvalidInputError, match="longest_grace"):
            await it.service.rotate(old.key_id, BY, grace=grace)
        assert await it.store.count() == 1

    run(scenario)


def test_what_has_ended_or_was_rotated_can_not_be_rotated() -> None:
    """The message says what to do instead."""

    async def scenario(it: Rig) -> None:
        old = (await it.service.create(new_key(), BY)).record
        new = (await it.service.rotate(old.key_id, BY)).record
        with pytest.raises(InvalidInputError, match=new.key_id):
            await it.service.rotate(old.key_id, BY)
        await it.service.rotate(new.key_id, BY)
        short = (await it.service.create(new_key(lifetime=DAY), BY)).record
        it.clock.advance(seconds=86_400)
        with pytest.raises(InvalidInputError, match="expired"):
            await it.service.rotate(short.key_id, BY)

    run(scenario)


def test_the_grace_can_be_ended_when_nobody_calls_any_more() -> None:
    """And who still calls is told, with addresses."""

    async def scenario(it: Rig) -> None:
        old = (await it.service.create(new_key(), BY)).record
        await it.service.rotate(old.key_id, BY)
        assert (await it.service.grace(old.key_id)).is_safe
        await it.store.note_uses([KeyUse(key_id=old.key_id, last_used=START, calls={"192.0.2.1": 3})])
        report = await it.service.grace(old.key_id)
        assert (report.is_safe, report.use.calls, dict(report.use.addresses)) == (False, 3, {"192.0.2.1": 3})

    run(scenario)


def test_a_disabled_key_can_not_be_rotated() -> None:
    """Its successor would work."""

    async def scenario(it: Rig) -> None:
        made = (await it.service.create(new_key(), BY)).record
        await it.service.disable(made.key_id, BY)
        with pytest.raises(InvalidInputError, match="enable it first"):
            await it.service.rotate(made.key_id, BY)

    run(scenario)
