"""extauth on Redis, with many keys: its configuration, their records, and their first checks."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import argon2

from benchmarks.cheap import CHEAPEST
from benchmarks.keys import put_in_redis
from benchmarks.load import ask_each, check_request_of_each
from benchmarks.redis_server import RedisServer
from benchmarks.servers import ServerError
from benchmarks.service import IN_FLIGHT, Service
from extauth.keys.token import Peppers, hint, random_base62
from extauth.model import ApiKey
from extauth.settings.model import StoreSettings
from extauth.stores.redis.store import RedisKeyStore

_SECRET_LENGTH = 43
# Two rates and a quota: more than any machine can ask for in a run.
_ROOMY = {"rates": ["1000000/second", "1000000000/day"], "quota": "1000000000/month"}
_TIERS = {
    "roomy": _ROOMY,
    "leased": {**_ROOMY, "concurrency": IN_FLIGHT},
    "spent": {"rates": ["1000000/second", "1/day"]},
}
_BATCH = 500
_ATTEMPTS = 5
_LOADED_WITHIN = timedelta(seconds=60)
# extauth's caches keep at least half of their size.
_DEFAULT_CACHE = 100_000


class ManyKeys:
    """Keys that differ in their ids only: one secret, and one hash of it."""

    def __init__(self, count: int) -> None:
        self._peppers = Peppers([secrets.token_hex(32)])
        self._secret = random_base62(_SECRET_LENGTH)
        self.texts = tuple(self._text(number) for number in range(count))

    def service(
        self, folder: Path, redis: RedisServer, *, changes: Mapping[str, object] | None = None
    ) -> Service:
        """Return extauth's installation on this Redis, which knows the pepper of the keys.

        `changes` take the place of sections of its configuration.
        """
        size = max(_DEFAULT_CACHE, 2 * len(self.texts))
        settings = {
            "store": {"url": redis.url},
            "keys": {
                "peppers": [pepper.decode() for pepper in self._peppers.secrets],
                "cache": {"verified": size, "records": size},
            },
            "tiers": _TIERS,
            # A busy machine must not void a measurement. It costs nothing where no check is late.
            "failure": {"deadline": "2s"},
            **(changes or {}),
        }
        return Service(folder, changes=settings, module="benchmarks.cheap")

    def put_in(self, redis: RedisServer) -> None:
        """Put the records into Redis, past the audit log. Raises StoreError."""
        asyncio.run(self._put(StoreSettings(url=redis.url, timeout=_LOADED_WITHIN)))

    def ask_once(self, port: int) -> None:
        """Have each key checked once, which verifies it and takes from its limits. Raises ServerError.

        Those of a busy machine that get a 503 are asked again: they took nothing.
        """
        left = self.texts
        statuses: list[int] = []
        for _ in range(_ATTEMPTS):
            statuses = ask_each(port, check_request_of_each(left))
            left = tuple(key for key, status in zip(left, statuses, strict=True) if status != 200)
            if not left:
                return
        counts = Counter(status for status in statuses if status != 200)
        raise ServerError(f"first checks of {len(left)} keys were answered {dict(counts)}")

    async def _put(self, settings: StoreSettings) -> None:
        hasher = argon2.PasswordHasher(
            time_cost=CHEAPEST.time_cost,
            memory_cost=CHEAPEST.memory_kib,
            parallelism=CHEAPEST.parallelism,
        )
        hashed = hasher.hash(self._secret)
        store = RedisKeyStore(settings)
        await store.open()
        try:
            for first in range(0, len(self.texts), _BATCH):
                numbers = range(first, min(first + _BATCH, len(self.texts)))
                await put_in_redis(store, [self._record(number, hashed) for number in numbers])
        finally:
            await store.close()

    def _record(self, number: int, hashed: str) -> ApiKey:
        now = datetime.now(UTC)
        return ApiKey(
            key_id=_key_id(number),
            hashed_key=hashed,
            hint=hint(self.texts[number]),
            user_id=f"user-{number}",
            name="benchmark",
            tier="roomy",
            scopes=("orders:read",),
            environment="live",
            created_at=now,
            # A key that is in use has that field: its first check then takes memory for its limits only.
            last_used=now,
            pepper_id=self._peppers.newest_id,
        )

    def _text(self, number: int) -> str:
        body = f"xa_live_{_key_id(number)}_{self._secret}"
        return body + self._peppers.tag(body)


def _key_id(number: int) -> str:
    return f"{number:012}"
