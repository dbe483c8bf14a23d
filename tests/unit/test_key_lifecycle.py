"""What becomes of a key after its creation: changes, rotation, end, and what the audit log says of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from extauth.errors import ConflictError, InvalidInputError, TooManyKeysError
from extauth.keys.asked import UNSET, Actor, KeyChange
from extauth.keys.token import parse_key
from extauth.stores.base import KeyUse
from tests.fakes import START
from tests.keys import PEPPERS
from tests.managing import BY, Rig, new_key, rig

DAY = timedelta(days=1)


def run(scenario: Callable[[Rig], Awaitable[None]], **policy: Any) -> None:
    """Run a scenario with a rig."""

    async def with_rig() -> None:
        async with rig(**policy) as it:
            await scenario(it)

    asyncio.run(with_rig())


def test_a_change_changes_what_it_names_and_nothing_else() -> None:
    """The version rises, the secret stays, and the log has what differs."""

    async def scenario(it: Rig) -> None:
        made = (await it.service.create(new_key(scopes=("a:read",), metadata={"team": "x"}), BY)).record
        change = KeyChange(name="renamed", tier="pro", scopes=("b:*", "b:*"), limits={"rates": ["5/second"]})
        changed = await it.service.update(made.key_id, change, BY)
        same = ("user_id", "hashed_key", "created_at", "expires_at", "metadata", "environment", "hint")
        assert all(getattr(changed, name) == getattr(made, name) for name in same)
        assert (changed.name, changed.tier, changed.scopes) == ("renamed", "pro", ("b:*",))
        assert (changed.limits, changed.version) == ({"rates": ["5/second"]}, 2)
        entry = it.store.entries[-1]
        assert (entry.action, entry.actor, entry.source) == ("key.updated", "tests", "192.0.2.9")
        assert entry.before == {"name": "a key", "tier": "free", "scopes": ["a:read"], "limits": {}}
        assert entry.after["scopes"] == ["b:*"]

    run(scenario)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": ""}, "name"),
        ({"tier": "gold"}, "tier"),
        ({"scopes": ("or ders",)}, "scopes"),
        ({"expires_at": START}, "expires_at"),
        ({"limits": {"rates": ["fast"]}}, "limits"),
        ({"limits": {"rates": []}, "metadata": {"k": "x" * 5_000}}, "metadata"),
        ({"limits": {"burst": 3}}, "limits"),
        ({"metadata": {"when": object()}}, "metadata"),
        ({"metadata": json.loads('{"a":' * 17 + "1" + "}" * 17)}, "metadata"),
        ({"metadata": {"a": json.loads("[" * 16 + "]" * 16)}}, "metadata"),
    ],
)
def test_a_wrong_change_is_refused_at_its_field(change: dict[str, Any], field: str) -> None:
    """Nothing is saved, and nothing is in the log."""

    async def scenario(it: Rig) -> None:
        made = (await it.service.create(new_key(), BY)).record
        with pytest.raises(InvalidInputError) as caught:
            await it.service.update(made.key_id, KeyChange(**change), BY)
        assert field in {name for name, _ in caught.value.mistakes}
        assert (await it.service.get(made.key_id)).version == 1
        assert len(it.store.entries) == 1

    run(scenario)


def test_a_change_that_changes_nothing_is_none() -> None:
    """No version, no entry in the log."""

    async def scenario(it: Rig) -> None:
        made = (await it.service.create(new_key(scopes=("a:b",)), BY)).record
        same = KeyChange(name=made.name, scopes=("a:b", "a:b"), expires_at=None, metadata={})
        assert (await it.service.update(made.key_id, same, BY)).version == 1
        assert len(it.store.entries) == 1

    run(scenario)


def test_an_end_can_be_moved_and_taken_away() -> None:
    """None is an end that never comes, which is something else than no word about it."""

    async def scenario(it: Rig) -> None:
        made = (await it.service.create(new_key(lifetime=DAY), BY)).record
        moved = await it.service.update(made.key_id, KeyChange(expires_at=START + 9 * DAY), BY)
        assert moved.expires_at == START + 9 * DAY
        assert (await it.service.update(made.key_id, KeyChange(name="x"), BY)).expires_at is not None
        assert (await it.service.update(made.key_id, KeyChange(expires_at=None), BY)).expires_at is None
        assert KeyChange().expires_at is UNSET

    run(scenario)


def test_an_expired_key_can_still_be_renamed() -> None:
    """That its end has come is no mistake of a change that doesn't touch it."""

    async def scenario(it: Rig) -> None:
        made = (await it.service.create(new_key(lifetime=DAY), BY)).record
        it.clock.advance(seconds=3 * 86_400)
        assert (await it.service.update(made.key_id, KeyChange(name="late"), BY)).name == "late"

    run(scenario)


def test_what_an_expected_version_is_not_is_a_conflict() -> None:
    """Whoever read an older record changes nothing."""

    async def scenario(it: Rig) -> None:
        made = (await it.service.create(new_key(), BY)).record
        await it.service.update(made.key_id, KeyChange(name="x"), BY, expected_version=1)
        for stale in (
            it.service.update(made.key_id, KeyChange(name="y"), BY, expected_version=1),
            it.service.disable(made.key_id, BY, expected_version=1),
            it.service.enable(made.key_id, BY, expected_version=9),
            it.service.revoke(made.key_id, BY, expected_version=1),
            it.service.rotate(made.key_id, BY, expected_version=1),
        ):
            with pytest.raises(ConflictError, match="has version 2"):
                await stale
        assert (await it.service.get(made.key_id)).version == 2

    run(scenario)


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
        assert it.store.entries[-1].after["rotated_to"] == new.key_id

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


def test_a_policy_bounds_lifetimes() -> None:
    """The default applies where nothing is said; what is longer is refused, and so is for ever."""

    async def scenario(it: Rig) -> None:
        assert (await it.service.create(new_key(), BY)).record.expires_at == START + 30 * DAY
        for wanted in (new_key(never=True), new_key(lifetime=91 * DAY), new_key(expires_at=START + 91 * DAY)):
            with pytest.raises(InvalidInputError, match="90 days"):
                await it.service.create(wanted, BY)
        made = (await it.service.create(new_key(lifetime=90 * DAY), BY)).record
        for end in (None, START + 91 * DAY):
            with pytest.raises(InvalidInputError, match="90 days"):
                await it.service.update(made.key_id, KeyChange(expires_at=end), BY)

    run(scenario, default_lifetime=30 * DAY, longest_lifetime=90 * DAY)


def test_a_policy_bounds_the_keys_of_a_user() -> None:
    """A rotation is no further key; a revocation makes room."""

    async def scenario(it: Rig) -> None:
        first = (await it.service.create(new_key(), BY)).record
        await it.service.create(new_key(), BY)
        with pytest.raises(TooManyKeysError, match="user-1 has 2 keys"):
            await it.service.create(new_key(), BY)
        await it.service.create(new_key(user_id="another"), BY)
        await it.service.rotate(first.key_id, BY)
        await it.service.revoke(first.key_id, BY)

    run(scenario, keys_per_user=2)


def test_a_tier_bounds_scopes() -> None:
    """Also where a key moves to the tier with the scopes that it has."""

    async def scenario(it: Rig) -> None:
        made = (await it.service.create(new_key(tier="pro", scopes=("admin:all",)), BY)).record
        with pytest.raises(InvalidInputError, match="'free' may not hold 'admin:all'"):
            await it.service.update(made.key_id, KeyChange(tier="free"), BY)
        await it.service.create(new_key(scopes=("orders:read", "orders:*")), BY)
        for scope in ("*", "users:read", "extauth:admin"):
            with pytest.raises(InvalidInputError, match="may not hold"):
                await it.service.create(new_key(scopes=(scope,)), BY)

    run(scenario, tier_scopes={"free": ("orders:*",)})


@pytest.mark.parametrize(
    ("held", "wanted", "granted"),
    [
        (("extauth:admin",), "orders:read", True),
        (("extauth:admin",), "extauth:keys:write", True),
        (("extauth:keys:write",), "extauth:keys:write", True),
        (("extauth:keys:write",), "extauth:admin", False),
        (("extauth:keys:write",), "orders:read", False),
        (("extauth:keys:write", "orders:*"), "orders:read", True),
        (("extauth:keys:write", "orders:*"), "orders:*", True),
        (("extauth:keys:write", "orders:read"), "orders:*", False),
        (("extauth:keys:write", "*"), "orders:*", True),
        (("extauth:keys:write", "*"), "extauth:admin", False),
        (("extauth:*",), "extauth:admin", True),
        (("extauth:*",), "orders:read", False),
        ((), "orders:read", False),
    ],
)
def test_nobody_grants_what_they_do_not_hold(held: tuple[str, ...], wanted: str, granted: bool) -> None:  # noqa: FBT001 - a parameter of pytest
    """Neither to a new key nor to one that is there; what a key has already, others may leave it."""

    async def scenario(it: Rig) -> None:
        by = Actor(name="key:abc", source="192.0.2.1", scopes=held)
        made = (await it.service.create(new_key(scopes=("kept:by-others",)), BY)).record
        asking = (
            it.service.create(new_key(scopes=(wanted,)), by),
            it.service.update(made.key_id, KeyChange(scopes=("kept:by-others", wanted)), by),
        )
        for asked in asking:
            if granted:
                await asked
            else:
                with pytest.raises(InvalidInputError, match="doesn't hold"):
                    await asked
        await it.service.update(made.key_id, KeyChange(name="renamed"), by)

    run(scenario)


def test_a_rotation_grants_too() -> None:
    """Whoever can't give a key its scopes can't get at its successor's secret."""

    async def scenario(it: Rig) -> None:
        made = (await it.service.create(new_key(scopes=("extauth:admin",)), BY)).record
        by = Actor(name="key:abc", source="192.0.2.1", scopes=("extauth:keys:write",))
        with pytest.raises(InvalidInputError, match="doesn't hold"):
            await it.service.rotate(made.key_id, by)

    run(scenario)


def test_whoever_lets_a_key_work_again_grants_its_scopes() -> None:
    """Enabling and a later end are refused to those who could not have made the key; an earlier isn't."""

    async def scenario(it: Rig) -> None:
        by = Actor(name="key:abc", source="192.0.2.1", scopes=("extauth:keys:write",))
        made = (await it.service.create(new_key(scopes=("extauth:admin",), lifetime=9 * DAY), BY)).record
        for end in (None, START + 10 * DAY):
            with pytest.raises(InvalidInputError, match="doesn't hold"):
                await it.service.update(made.key_id, KeyChange(expires_at=end), by)
        await it.service.update(made.key_id, KeyChange(expires_at=START + DAY), by)
        await it.service.disable(made.key_id, by)
        with pytest.raises(InvalidInputError, match="doesn't hold"):
            await it.service.enable(made.key_id, by)
        assert (await it.service.enable(made.key_id, BY)).active

    run(scenario)


def test_a_disabled_key_can_not_be_rotated() -> None:
    """Its successor would work."""

    async def scenario(it: Rig) -> None:
        made = (await it.service.create(new_key(), BY)).record
        await it.service.disable(made.key_id, BY)
        with pytest.raises(InvalidInputError, match="enable it first"):
            await it.service.rotate(made.key_id, BY)

    run(scenario)


def test_values_that_are_equal_to_python_only_are_different() -> None:
    """One and true are not the same in JSON."""

    async def scenario(it: Rig) -> None:
        made = (await it.service.create(new_key(metadata={"a": 1}), BY)).record
        changed = await it.service.update(made.key_id, KeyChange(metadata={"a": True}), BY)
        assert changed.metadata["a"] is True
        assert it.store.entries[-1].after == {"metadata": {"a": True}}

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
        assert len(it.store.entries) == 5
        for made in (issued, rotated):
            secret = parse_key(made.text).secret
            assert secret not in text
            assert made.record.hashed_key not in text
        assert "argon2" not in text

    run(scenario)


def test_what_looks_like_a_key_is_not_stored() -> None:
    """A name or metadata is no place for one: both are shown to everybody who may list keys."""

    async def scenario(it: Rig) -> None:
        text = (await it.service.create(new_key(), BY)).text
        made = (await it.service.create(new_key(), BY)).record
        with pytest.raises(InvalidInputError, match="looks like a key"):
            await it.service.revoke(made.key_id, BY, reason=f"leaked: {text}")
        for wanted in (new_key(name=text), new_key(user_id=text), new_key(metadata={"key": text})):
            with pytest.raises(InvalidInputError, match="looks like a key") as caught:
                await it.service.create(wanted, BY)
            assert parse_key(text).secret not in str(caught.value)

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
