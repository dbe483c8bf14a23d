"""What every key store keeps to; each test runs on every row of the table."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from extauth.clock import from_us
from extauth.errors import ConflictError, InvalidInputError, NotFoundError
from extauth.model import RECORD_FIELDS, ApiKey
from extauth.stores.base import KeyFilter, KeyStore
from tests.fakes import START
from tests.keys import entry, record

from .conftest import Run


def same(first: ApiKey | None, second: ApiKey) -> bool:
    """Compare field by field: records themselves compare by identity."""
    return first is not None and all(getattr(first, name) == getattr(second, name) for name in RECORD_FIELDS)


def test_what_is_added_can_be_read(run: Run) -> None:
    """Every field comes back as it was, times to the microsecond and in UTC."""

    async def scenario(store: KeyStore) -> None:
        moment = START + timedelta(microseconds=123_457)
        key = record(
            name="Müllers 🔑",
            scopes=("b:read", "a:*"),
            active=False,
            created_at=moment,
            expires_at=datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
            last_used=moment + timedelta(microseconds=1),
            revoked_at=moment + timedelta(microseconds=2),
            revoked_reason="leaked: «twice»",
            rotated_from="AAAAbbbb0000",
            rotated_to="AAAAbbbb0002",
            rotated_at=moment + timedelta(microseconds=4),
            grace_until=moment + timedelta(microseconds=3),
            limits={"rates": ["1/second"], "nested": {"a": [1, None, True]}},
            metadata={"team": "zażółć", "n": 1.5},
            pepper_id="0a1b2c3d",
            imported=True,
            version=7,
        )
        await store.add(key, entry())
        read = await store.get(key.key_id)
        assert same(read, key)
        assert read is not None
        assert read.created_at.tzinfo is UTC

    run(scenario)


def test_what_is_not_given_stays_empty(run: Run) -> None:
    """A record with nothing optional comes back with nothing optional."""

    async def scenario(store: KeyStore) -> None:
        await store.add(record(), entry())
        assert same(await store.get("AAAAbbbb0001"), record())

    run(scenario)


def test_an_absent_key_is_none(run: Run) -> None:
    """Asking for what isn't there is no fault. Ids differ by case."""

    async def scenario(store: KeyStore) -> None:
        await store.add(record("AAAAbbbb0001"), entry())
        assert await store.get("aaaabbbb0001") is None
        assert await store.get("") is None
        assert await store.get("x' OR '1'='1") is None

    run(scenario)


def test_an_id_is_taken_once(run: Run) -> None:
    """The second record with an id is refused, and the first stays."""

    async def scenario(store: KeyStore) -> None:
        await store.add(record(name="first"), entry())
        with pytest.raises(ConflictError):
            await store.add(record(name="second"), entry())
        kept = await store.get("AAAAbbbb0001")
        assert kept is not None
        assert kept.name == "first"
        assert await store.count() == 1

    run(scenario)


def test_saving_replaces_the_version_before(run: Run) -> None:
    """All of the record is replaced."""

    async def scenario(store: KeyStore) -> None:
        await store.add(record(), entry())
        changed = record(name="renamed", active=False, revoked_at=START, metadata={"a": 1}, version=2)
        await store.save(changed, entry())
        assert same(await store.get("AAAAbbbb0001"), changed)
        assert await store.count() == 1

    run(scenario)


@pytest.mark.parametrize("version", [1, 3])
def test_saving_over_another_change_is_a_conflict(run: Run, version: int) -> None:
    """Neither the same version again nor one that skips somebody's change: nothing is lost silently."""

    async def scenario(store: KeyStore) -> None:
        await store.add(record(name="first"), entry())
        with pytest.raises(ConflictError):
            await store.save(record(name="second", version=version), entry())
        kept = await store.get("AAAAbbbb0001")
        assert kept is not None
        assert (kept.name, kept.version) == ("first", 1)

    run(scenario)


def test_saving_what_is_not_there_is_told(run: Run) -> None:
    """Not stored under the hand."""

    async def scenario(store: KeyStore) -> None:
        with pytest.raises(NotFoundError):
            await store.save(record(version=2), entry())
        assert await store.count() == 0

    run(scenario)


def test_of_many_who_save_at_once_one_wins(run: Run) -> None:
    """The version is compared and raised in one step."""

    async def scenario(store: KeyStore) -> None:
        await store.add(record(), entry())
        changes = [store.save(record(name=f"writer {number}", version=2), entry()) for number in range(20)]
        results = await asyncio.gather(*changes, return_exceptions=True)
        assert [result for result in results if not isinstance(result, ConflictError)] == [None]

    run(scenario)


async def _fill(store: KeyStore) -> None:
    # Three made in the same microsecond, in no order.
    for number, seconds in ((5, 4), (2, 1), (4, 1), (3, 1), (1, 0), (6, 5)):
        user = "odd" if number % 2 else "even"
        key = record(f"AAAAbbbb000{number}", user_id=user, created_at=START + timedelta(seconds=seconds))
        await store.add(key, entry())


async def _pages(store: KeyStore, *, limit: int, user_id: str | None = None) -> list[str]:
    pages, cursor = [], None
    while True:
        page = await store.list(KeyFilter(user_id=user_id), cursor=cursor, limit=limit)
        assert len(page.keys) <= limit
        pages.append("".join(key.key_id[-1] for key in page.keys))
        cursor = page.next_cursor
        if cursor is None:
            return pages


@pytest.mark.parametrize(
    ("limit", "pages"),
    [
        (100, ["123456"]),
        (6, ["123456"]),
        (5, ["12345", "6"]),
        (3, ["123", "456"]),
        (2, ["12", "34", "56"]),
        (1, list("123456")),
    ],
)
def test_a_list_pages_through_all_keys_oldest_first(run: Run, limit: int, pages: list[str]) -> None:
    """Each key stands on exactly one page, also among keys of the same age; the last page says that it is."""

    async def scenario(store: KeyStore) -> None:
        await _fill(store)
        assert await _pages(store, limit=limit) == pages

    run(scenario)


def test_a_list_can_be_of_one_user(run: Run) -> None:
    """With pages of their own."""

    async def scenario(store: KeyStore) -> None:
        await _fill(store)
        assert await _pages(store, limit=2, user_id="odd") == ["13", "5"]
        assert await _pages(store, limit=9, user_id="even") == ["246"]
        assert await _pages(store, limit=9, user_id="nobody") == [""]

    run(scenario)


def test_keys_made_while_somebody_pages_disturb_nothing(run: Run) -> None:
    """No key is shown twice or skipped; a new one comes at the end."""

    async def scenario(store: KeyStore) -> None:
        await _fill(store)
        first = await store.list(limit=3)
        await store.add(record("AAAAbbbb0000", created_at=START - timedelta(seconds=1)), entry())
        await store.add(record("AAAAbbbb0009", created_at=START + timedelta(seconds=9)), entry())
        rest = await store.list(limit=9, cursor=first.next_cursor)
        assert [key.key_id[-1] for key in rest.keys] == ["4", "5", "6", "9"]

    run(scenario)


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "1",
        "1.",
        ".a",
        "1.a b",
        "-1.a",
        "1;drop.a",
        "1.a'",
        "9" * 40 + ".a",
        "9" * 5_000 + ".a",
        "\u0661.a",
    ],
)
def test_a_cursor_that_nobody_handed_out_is_refused(run: Run, cursor: str) -> None:
    """As a mistake of whoever asks, not as a fault of the store."""

    async def scenario(store: KeyStore) -> None:
        await _fill(store)
        with pytest.raises(InvalidInputError):
            await store.list(cursor=cursor)

    run(scenario)


def test_counting_counts_all(run: Run) -> None:
    """Revoked ones too."""

    async def scenario(store: KeyStore) -> None:
        assert await store.count() == 0
        await _fill(store)
        await store.save(record("AAAAbbbb0001", revoked_at=START, active=False, version=2), entry())
        assert await store.count() == 6

    run(scenario)


def test_changes_are_what_is_new_since_the_cursor(run: Run) -> None:
    """Without a cursor only one for now; with it each key that was added or saved since then, once."""

    async def scenario(store: KeyStore) -> None:
        empty = await store.changes(None)
        assert empty.key_ids == ()
        if store.is_shared:  # where each check asks for versions instead
            await _fill(store)
            assert await store.changes(empty.cursor) == empty
            return
        await _fill(store)
        start = await store.changes(None)
        assert start.key_ids == ()
        assert (await store.changes(start.cursor)).key_ids == ()
        assert len((await store.changes(empty.cursor)).key_ids) == 6
        for version in (2, 3):
            await store.save(record("AAAAbbbb0001", version=version), entry())
        await store.add(record("AAAAbbbb0007"), entry())
        later = await store.changes(start.cursor)
        assert sorted(later.key_ids) == ["AAAAbbbb0001", "AAAAbbbb0007"]
        assert (await store.changes(later.cursor)).key_ids == ()

    run(scenario)


def test_a_refused_change_is_no_change(run: Run) -> None:
    """Conflicts make nobody read keys again."""

    async def scenario(store: KeyStore) -> None:
        await store.add(record(), entry())
        start = await store.changes(None)
        with pytest.raises(ConflictError):
            await store.add(record(), entry())
        with pytest.raises(ConflictError):
            await store.save(record(version=9), entry())
        assert (await store.changes(start.cursor)).key_ids == ()

    run(scenario)


def test_a_read_after_a_write_sees_it(run: Run) -> None:
    """What was acknowledged is there for all who ask afterwards."""

    async def scenario(store: KeyStore) -> None:
        key = record(created_at=from_us(1))
        await store.add(key, entry())
        read, number = await asyncio.gather(store.get(key.key_id), store.count())
        assert same(read, key)
        assert number == 1
        saved = replace(key, name="renamed", version=2)
        await store.save(saved, entry())
        read, versions = await asyncio.gather(store.get(key.key_id), store.versions([key.key_id]))
        assert same(read, saved)
        assert list(versions) == [2]

    run(scenario)
