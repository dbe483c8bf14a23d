"""Lists without their pages: a page may be short and yet not the last, so it takes care to read them all."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

from extauth.model import ApiKey
from extauth.stores.base import ALL_KEYS, KeyFilter, KeyPage

Item = TypeVar("Item")
_AT_ONCE = 500
# Gets a cursor and how many are wanted at most, returns the items of a page and the cursor of the next.
ReadPage = Callable[[str | None, int], Awaitable[tuple[Sequence[Item], str | None]]]


class ListsKeys(Protocol):
    """A key store, or the key service."""

    async def list(
        self, wanted: KeyFilter = ALL_KEYS, *, cursor: str | None = None, limit: int = 100
    ) -> KeyPage:
        """Return a page of records, which may be short."""
        ...


async def pages_of(keys: ListsKeys, wanted: KeyFilter = ALL_KEYS) -> AsyncIterator[tuple[ApiKey, ...]]:
    """Go through all records, a page at a time."""
    cursor = None
    while True:
        page = await keys.list(wanted, cursor=cursor, limit=_AT_ONCE)
        if page.keys:
            yield page.keys
        if page.next_cursor is None:
            return
        cursor = page.next_cursor


async def collect(
    read: ReadPage[Item],
    *,
    cursor: str | None,
    limit: int | None,
    shown: Callable[[Item], bool] = lambda _item: True,
) -> tuple[list[Item], str | None]:
    """Ask for pages until `limit` items are found, or all with None; return them and where to go on."""
    found: list[Item] = []
    while True:
        missing = _AT_ONCE if limit is None else limit - len(found)
        items, cursor = await read(cursor, missing)
        found.extend(item for item in items if shown(item))
        if cursor is None or (limit is not None and len(found) >= limit):
            return found, cursor
