"""Which store a URL means: the one place that chooses, so that a new store is one more case here."""

from __future__ import annotations

from extauth.settings.model import StoreSettings
from extauth.stores.base import BucketArchive, KeyStore
from extauth.stores.sqlite import SqliteBucketArchive, SqliteKeyStore


async def open_key_store(settings: StoreSettings) -> KeyStore:
    """Open the key store. Raises StoreError."""
    store = SqliteKeyStore(settings.path)
    await store.open()
    return store


async def open_bucket_archive(settings: StoreSettings) -> BucketArchive:
    """Open the archive of the memory limit store, in a file beside the keys. Raises StoreError."""
    path = settings.path
    archive = SqliteBucketArchive(path.with_name(f"{path.stem}-limits{path.suffix}"))
    await archive.open()
    return archive
