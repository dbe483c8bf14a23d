"""What a change of a key changes, and what may stand in one."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import orjson
import pytest

from extauth.errors import ConflictError, InvalidInputError
from extauth.keys.asked import UNSET, KeyChange
from extauth.keys.token import parse_key
from tests.fakes import START
from tests.managing import BY, Rig, new_key, run

DAY = timedelta(days=1)


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


@pytest.mark.parametrize("number", ["18446744073709551616", "-9223372036854775809", "1e300"])
def test_a_number_that_would_lose_digits_is_refused(number: str) -> None:
    """Readers of JSON round it: what is kept would be another number than what was given."""

    async def scenario(it: Rig) -> None:
        made = (await it.service.create(new_key(), BY)).record
        metadata = orjson.loads(f'{{"a": [1, {{"b": {number}}}]}}')
        for asked in (
            it.service.create(new_key(metadata=metadata), BY),
            it.service.update(made.key_id, KeyChange(metadata=metadata), BY),
        ):
            with pytest.raises(InvalidInputError, match="write it as text") as caught:
                await asked
            assert [field for field, _ in caught.value.mistakes] == ["metadata"]

    run(scenario)


def test_numbers_of_64_bits_are_kept_exactly() -> None:
    """The largest and the smallest whole numbers, and fractions."""

    async def scenario(it: Rig) -> None:
        metadata = orjson.loads('{"a": [18446744073709551615, -9223372036854775808, 0.1, 1e15]}')
        made = (await it.service.create(new_key(metadata=metadata), BY)).record
        assert made.metadata == {"a": [2**64 - 1, -(2**63), 0.1, 1e15]}

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


def test_values_that_are_equal_to_python_only_are_different() -> None:
    """One and true are not the same in JSON."""

    async def scenario(it: Rig) -> None:
        made = (await it.service.create(new_key(metadata={"a": 1}), BY)).record
        changed = await it.service.update(made.key_id, KeyChange(metadata={"a": True}), BY)
        assert changed.metadata["a"] is True
        assert it.store.entries[-1].after == {"metadata": {"a": True}}

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
