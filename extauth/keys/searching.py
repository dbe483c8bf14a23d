"""Has all keys found by a search, also those that an earlier version without one keeps or changes."""

from __future__ import annotations

import asyncio

import structlog

from extauth.errors import StoreError
from extauth.stores.search import SearchableStore

# Servers of an earlier version may run beside this one: what they change is found so much later.
_EVERY_SECONDS = 60.0


async def complete_search(store: SearchableStore) -> None:
    """Do so again and again until cancelled."""
    log = structlog.get_logger("extauth.keys")
    while True:
        try:
            completed = await store.complete_search()
        except StoreError as error:
            log.warning("search_not_completed", problem=str(error))
        else:
            if completed:
                log.info("search_completed", keys=completed)
        await asyncio.sleep(_EVERY_SECONDS)
