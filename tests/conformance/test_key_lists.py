"""What every key store's filters keep to; each test runs on every row of the table."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from extauth.stores.base import LOOKED_AT_ONCE, KeyFilter, KeyStore, KeyUse
from tests.fakes import START
from tests.keys import entry, record

from .conftest import Run

DAY = timedelta(days=1)


async def shown(store: KeyStore, wanted: KeyFilter, *, limit: int = 100) -> str:
    """Return the last digits of the keys that a list shows, over all its pages."""
    digits, cursor = "", None
    while True:
        page = await store.list(wanted, cursor=cursor, limit=limit)
        assert len(page.keys) <= limit
        digits += "".join(key.key_id[-1] for key in page.keys)
        cursor = page.next_cursor
        if cursor is None:
            return digits


async def fill(store: KeyStore) -> None:
    """Put keys of all kinds in."""
    kinds: list[dict[str, Any]] = [
        {"user_id": "a", "tier": "free"},
        {"user_id": "a", "tier": "pro", "expires_at": START + 10 * DAY},
        {"user_id": "b", "tier": "free", "active": False},
        {"user_id": "b", "tier": "pro", "active": False, "revoked_at": START, "expires_at": START + 40 * DAY},
        {"user_id": "a", "tier": "free", "expires_at": START + 20 * DAY},
    ]
    for number, kind in enumerate(kinds):
        key_id = f"AAAAbbbb000{number}"
        key = record(key_id, created_at=START + timedelta(seconds=number), **kind)
        await store.add(key, entry(key_id))


@pytest.mark.parametrize(
    ("wanted", "digits"),
    [
        (KeyFilter(), "01234"),
        (KeyFilter(user_id="a"), "014"),
        (KeyFilter(tier="free"), "024"),
        (KeyFilter(user_id="a", tier="free"), "04"),
        (KeyFilter(active=True), "014"),
        (KeyFilter(active=False), "23"),
        (KeyFilter(user_id="b", active=True), ""),
        (KeyFilter(expires_before=START + 20 * DAY), "1"),
        (KeyFilter(expires_before=START + 20 * DAY + timedelta(microseconds=1)), "14"),
        (KeyFilter(expires_before=START + 99 * DAY), "134"),
        (KeyFilter(tier="pro", expires_before=START + 99 * DAY, active=True), "1"),
        (KeyFilter(unused_since=START + timedelta(seconds=2)), "01"),
        (KeyFilter(user_id="nobody"), ""),
        (KeyFilter(tier="nothing"), ""),
    ],
)
@pytest.mark.parametrize("limit", [1, 2, 100])
def test_a_list_shows_what_fits_in_order(run: Run, wanted: KeyFilter, digits: str, limit: int) -> None:
    """All conditions must hold, whatever index leads to the keys and however large a page is."""

    async def scenario(store: KeyStore) -> None:
        await fill(store)
        assert await shown(store, wanted, limit=limit) == digits

    run(scenario)


def test_a_change_moves_a_key_between_lists(run: Run) -> None:
    """Indexes follow the record: tier, expiry and state are those of now."""

    async def scenario(store: KeyStore) -> None:
        await fill(store)
        changed = record(
            "AAAAbbbb0000", created_at=START, user_id="a", tier="pro", expires_at=START + DAY, version=2
        )
        await store.save(changed, entry("AAAAbbbb0000", action="key.updated"))
        assert await shown(store, KeyFilter(tier="free")) == "24"
        assert await shown(store, KeyFilter(tier="pro")) == "013"
        assert await shown(store, KeyFilter(expires_before=START + 2 * DAY)) == "0"
        endless = record("AAAAbbbb0000", created_at=START, user_id="a", tier="pro", version=3)
        await store.save(endless, entry("AAAAbbbb0000", action="key.updated"))
        assert await shown(store, KeyFilter(expires_before=START + 2 * DAY)) == ""

    run(scenario)


def test_a_use_takes_a_key_off_the_unused(run: Run) -> None:
    """Keys never used count from when they were made."""

    async def scenario(store: KeyStore) -> None:
        await fill(store)
        wanted = KeyFilter(unused_since=START + DAY)
        assert await shown(store, wanted) == "01234"
        await store.note_uses([KeyUse(key_id="AAAAbbbb0001", last_used=START + DAY)])
        assert await shown(store, wanted) == "0234"

    run(scenario)


def test_a_page_looks_at_a_bounded_number_of_keys(run: Run) -> None:
    """A filter that fits hardly anything ends a page early, and the next one goes on from there."""

    async def scenario(store: KeyStore) -> None:
        for number in range(LOOKED_AT_ONCE + 2):
            key_id = f"AAAA{number:08}"
            active = number != LOOKED_AT_ONCE + 1
            key = record(key_id, active=active, created_at=START + timedelta(microseconds=number))
            await store.add(key, entry(key_id))
        wanted = KeyFilter(active=False)
        first = await store.list(wanted, limit=5)
        if first.next_cursor is None:  # one that finds them by an index needn't look at others
            assert len(first.keys) == 1
            return
        assert first.keys == ()
        second = await store.list(wanted, cursor=first.next_cursor, limit=5)
        assert [key.key_id for key in second.keys] == [f"AAAA{LOOKED_AT_ONCE + 1:08}"]
        assert second.next_cursor is None

    run(scenario)
