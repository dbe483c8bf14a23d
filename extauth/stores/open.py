"""Which store a URL means: the one place that chooses, so that a new store is one more case here."""

from __future__ import annotations

from extauth.settings.model import StoreSettings
from extauth.stores.base import BucketArchive, KeyStore
from extauth.stores.sqlite import SqliteKeyStore
from extauth.stores.sqlite_archive import SqliteBucketArchive


async def open_key_store(settings: StoreSettings) -> KeyStore:
    """Open the key store. Raises StoreError."""
    if settings.is_embedded:
        store = SqliteKeyStore(settings.path)
        await store.open()
        return store
    # redis-py takes 0.15 s to import, for which nobody waits who has no Redis.
    from extauth.stores.redis.store import RedisKeyStore  # noqa: PLC0415 - see above

    shared = RedisKeyStore(settings)
    await shared.open()
    return shared


async def open_bucket_archive(settings: StoreSettings) -> BucketArchive:
    """Open the archive of the memory limit store, in a file beside the keys. Raises StoreError."""
    path = settings.path
    archive = SqliteBucketArchive(path.with_name(f"{path.stem}-limits{path.suffix}"))
    await archive.open()
    return archive
