"""How keys are switched off and on, end and are forgotten, and what is told of them meanwhile."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from extauth.errors import InvalidInputError
from extauth.keys.asked import KeyChange
from extauth.keys.token import parse_key
from tests.fakes import START
from tests.keys import PEPPERS
from tests.managing import BY, Rig, new_key, run

DAY = timedelta(days=1)


def test_a_key_can_be_disabled_and_enabled() -> None:
    """As often as wanted; doing it twice is doing it once."""

    async def scenario(it: Rig) -> None:
        made = (await it.service.create(new_key(), BY)).record
        assert not (await it.service.disable(made.key_id, BY)).active
        assert (await it.service.disable(made.key_id, BY)).version == 2
        assert (await it.service.enable(made.key_id, BY)).active
        actions = [entry.action for entry in it.store.entries]
        assert actions == ["key.created", "key.disabled", "key.enabled"]

    run(scenario)


def test_a_revoked_key_stays_revoked() -> None:
    """With its reason; no action brings it back or changes it."""

    async def scenario(it: Rig) -> None:
        made = (await it.service.create(new_key(), BY)).record
        revoked = await it.service.revoke(made.key_id, BY, reason="leaked")
        assert (revoked.active, revoked.revoked_at, revoked.revoked_reason) == (False, START, "leaked")
        assert (await it.service.revoke(made.key_id, BY, reason="again")).revoked_reason == "leaked"
        assert (await it.service.disable(made.key_id, BY)).version == 2
        for action in (
            it.service.enable(made.key_id, BY),
            it.service.update(made.key_id, KeyChange(name="x"), BY),
            it.service.rotate(made.key_id, BY),
        ):
            with pytest.raises(InvalidInputError, match="revoked"):
                await action

    run(scenario)


def test_no_entry_of_the_log_holds_a_secret() -> None:
    """Neither the text of a key nor its hash, in whatever is done to it."""

    async def scenario(it: Rig) -> None:
        issued = await it.service.create(new_key(), BY)
        key_id = issued.record.key_id
        await it.service.update(key_id, KeyChange(name="x"), BY)
        rotated = await it.service.rotate(key_id, BY)
        await it.service.revoke(key_id, BY)
        await it.service.purge(START + DAY, BY)
        text = repr(it.store.entries)
        assert len(it.store.entries) == 6
        for made in (issued, rotated):
            secret = parse_key(made.text).secret
            assert secret not in text
            assert made.record.hashed_key not in text
        assert "argon2" not in text

    run(scenario)


def test_purging_forgets_keys_revoked_long_ago() -> None:
    """In as many steps as it takes; each leaves its entry."""

    async def scenario(it: Rig) -> None:
        ids = [(await it.service.create(new_key(), BY)).record.key_id for _ in range(3)]
        for key_id in ids[:2]:
            await it.service.revoke(key_id, BY)
        assert await it.service.purge(START, BY) == 0
        assert await it.service.purge(START + timedelta(seconds=1), BY) == 2
        assert [key.key_id for key in (await it.service.list()).keys] == ids[2:]
        purged = [entry.key_id for entry in it.store.entries if entry.action == "key.purged"]
        assert sorted(purged) == sorted(ids[:2])

    run(scenario)


def test_peppers_are_told_by_the_keys_that_need_them() -> None:
    """The one that signs comes first; one that is configured no more but needed is told as well."""

    async def scenario(it: Rig) -> None:
        made = (await it.service.create(new_key(), BY)).record
        assert made.pepper_id == PEPPERS.newest_id
        lost = replace(made, key_id="AAAAbbbb0001", pepper_id="0badf00d")
        await it.service.restore(lost, BY)
        status = await it.service.pepper_status()
        assert [(one.pepper_id, one.keys, one.configured, one.signs) for one in status] == [
            (PEPPERS.newest_id, 1, True, True),
            ("0badf00d", 1, False, False),
        ]

    run(scenario)
