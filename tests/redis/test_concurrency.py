"""Several servers change the same keys at the same time, and repair each other's changes meanwhile."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from extauth.errors import ConflictError, NotFoundError
from extauth.stores.redis.store import RedisKeyStore
from tests.fakes import START
from tests.keys import entry, record
from tests.redis.server import RedisServer, opened
from tests.redis.state import actions_in, assert_consistent, records_in

IDS = [f"AAAAbbbb000{number}" for number in range(4)]


async def _change(store: RedisKeyStore, chance: random.Random, done: list[str]) -> None:
    """Make one change, if nobody else is faster."""
    key_id = chance.choice(IDS)
    key = await store.get(key_id)
    label = f"{key_id} {chance.random()}"
    try:
        if key is None:
            new = record(key_id, tier=chance.choice("ab"), pepper_id=chance.choice("xy"))
            await store.add(new, entry(key_id, action=label))
        elif key.revoked_at is not None:
            await store.purge(START + timedelta(days=1), entry("", action="key.purged"))
            return
        else:
            revoked = START if chance.random() < 0.3 else None
            expires = START + timedelta(days=1) if chance.random() < 0.5 else None
            changed = replace(
                key,
                tier=chance.choice("abc"),
                user_id=chance.choice("uvw"),
                revoked_at=revoked,
                expires_at=expires,
                version=key.version + 1,
            )
            await store.save(changed, entry(key_id, action=label))
    except (ConflictError, NotFoundError):
        return
    done.append(label)


async def _work(store: RedisKeyStore, seed: int, done: list[str]) -> None:
    chance = random.Random(seed)
    for _ in range(60):
        await _change(store, chance, done)
        if chance.random() < 0.2:
            # What is under way, too, is repaired under the hands of whoever makes it.
            await store.repair(left_for_ms=0)


def test_indexes_agree_and_each_change_is_audited_once(servers: Sequence[RedisServer], url: str) -> None:
    """Whoever was faster, and whoever repaired what."""

    async def scenario() -> None:
        done: list[str] = []
        async with opened(url) as one, opened(url) as other:
            await asyncio.gather(*(_work(store, seed, done) for seed, store in enumerate([one, other] * 3)))
            await one.repair(left_for_ms=0)
        state = assert_consistent(servers)
        audited = [action for key_id in IDS for action in actions_in(state, key_id)]
        changes = [action for action in audited if action != "key.purged"]
        assert sorted(changes) == sorted(done)
        assert len(done) > 50
        assert len(records_in(state)) <= len(IDS)

    asyncio.run(scenario())
