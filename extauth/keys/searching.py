"""Has all keys found by a search, also those of a store from before there was one."""

from __future__ import annotations

import asyncio

import structlog

from extauth.errors import StoreError
from extauth.stores.search import SearchableStore

_AGAIN_AFTER_SECONDS = 60.0


async def complete_search(store: SearchableStore) -> None:
    """Try until it has worked once."""
    log = structlog.get_logger("extauth.keys")
    while True:
        try:
            completed = await store.complete_search()
        except StoreError as error:
            log.warning("search_not_completed", problem=str(error))
            await asyncio.sleep(_AGAIN_AFTER_SECONDS)
            continue
        if completed:
            log.info("search_completed", keys=completed)
        return
