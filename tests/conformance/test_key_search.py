"""What every key store finds for people who look for keys; each test runs on every row of the table."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from extauth.stores.base import KeyStore
from extauth.stores.search import Found
from tests.fakes import START
from tests.keys import entry, record

from .conftest import Run

KEYS = (
    ("AAAAbbbb0001", "alice", "Laptop"),
    ("AAAAbbbb0002", "alice", "laptop of old"),
    ("AAAA0000zzzz", "alice2", "build {1}"),
    ("BBBBbbbb0001", "bob", "Éclair"),
    ("laptopLAPTOP", "zoe", "100%"),
)


async def fill(store: KeyStore) -> None:
    """Put all keys in."""
    for key_id, user_id, name in KEYS:
        await store.add(record(key_id, user_id=user_id, name=name), entry(key_id))


def told(found: Found) -> tuple[list[str], dict[str, int]]:
    """Return the names of the keys, and the users."""
    return [key.name for key in found.keys], dict(found.users)


@pytest.mark.parametrize(
    ("beginning", "names", "users"),
    [
        ("AAAA", ["build {1}", "Laptop", "laptop of old"], {}),
        ("AAAAbbbb0001", ["Laptop"], {}),
        ("aaaa", [], {}),
        # By its id first, then the names in their order, whatever their case.
        ("laptop", ["100%", "Laptop", "laptop of old"], {}),
        ("LAPTOP O", ["laptop of old"], {}),
        ("apto", [], {}),
        ("alice", [], {"alice": 2, "alice2": 1}),
        ("alice2", [], {"alice2": 1}),
        ("b", ["build {1}"], {"bob": 1}),
        ("build {", ["build {1}"], {}),
        ("100%", ["100%"], {}),
        ("É", ["Éclair"], {}),
        ("é", [], {}),
        ("%", [], {}),
        ("\x00", [], {}),
        ("*", [], {}),
    ],
)
def test_keys_and_users_are_found_by_how_they_begin(
    run: Run, beginning: str, names: list[str], users: dict[str, int]
) -> None:
    """And by nothing else: no character means more than itself."""

    async def scenario(store: KeyStore) -> None:
        await fill(store)
        assert told(await store.search(beginning, limit=9)) == (names, users)

    run(scenario)


def test_no_more_is_found_than_is_asked_for(run: Run) -> None:
    """The first ones of their order; a user with many keys stands for one."""

    async def scenario(store: KeyStore) -> None:
        await fill(store)
        for number in range(30):
            key_id = f"CCCCcccc00{number:02}"
            await store.add(record(key_id, user_id="alice", name="many"), entry(key_id))
        assert told(await store.search("al", limit=1)) == ([], {"alice": 32})
        assert told(await store.search("al", limit=2)) == ([], {"alice": 32, "alice2": 1})
        found = await store.search("CCCC", limit=3)
        assert [key.key_id[-2:] for key in found.keys] == ["00", "01", "02"]

    run(scenario)


def test_what_changes_is_found_as_it_is(run: Run) -> None:
    """By its new name and no longer by the old one; a key that is forgotten by nothing."""

    async def scenario(store: KeyStore) -> None:
        await fill(store)
        key = await store.get("BBBBbbbb0001")
        assert key is not None
        key = replace(key, name="renamed", active=False, revoked_at=START, version=key.version + 1)
        await store.save(key, entry(key.key_id))
        assert told(await store.search("É", limit=9)) == ([], {})
        assert told(await store.search("RENAMED", limit=9)) == (["renamed"], {})
        assert told(await store.search("bob", limit=9)) == ([], {"bob": 1})
        await store.purge(START + timedelta(days=1), entry(""))
        for beginning in ("BBBB", "renamed", "bob"):
            assert told(await store.search(beginning, limit=9)) == ([], {})

    run(scenario)


def test_a_new_key_of_a_rotation_is_found_beside_the_old_one(run: Run) -> None:
    """Both have the name."""

    async def scenario(store: KeyStore) -> None:
        await fill(store)
        old = await store.get("laptopLAPTOP")
        assert old is not None
        new = record("NNNNnnnn0001", user_id="zoe", name="100%")
        ended = replace(old, rotated_to=new.key_id, version=old.version + 1)
        await store.rotate(ended, new, (entry(old.key_id), entry(new.key_id)))
        found = await store.search("100", limit=9)
        assert [key.key_id for key in found.keys] == [new.key_id, old.key_id]
        assert (await store.search("zoe", limit=9)).users == {"zoe": 2}

    run(scenario)
