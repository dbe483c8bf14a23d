"""Fills a store with many keys and months of usage, and measures how the dashboard's pages are answered.

    python -m benchmarks.dashboard sqlite:////tmp/used/extauth.db
    python -m benchmarks.dashboard redis://127.0.0.1:6379/9 --keys 100000 --days 90 --hours 4

The service runs in this process and is asked on a socket, so each figure holds the client's work too. The
store must be empty, and is left filled.
"""

from __future__ import annotations

import asyncio
import socket
import sqlite3
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import httpx
import uvloop
from prometheus_client import CollectorRegistry

from benchmarks.usage import Options, fill, options_of, place
from extauth.app import App, open_app
from extauth.keys.asked import Actor, NewKey
from extauth.keys.scopes import ADMIN
from extauth.model import ApiKey
from extauth.server.admin import admin_listener
from extauth.server.connections import ConnectionLimits, Connections
from extauth.server.listeners import admin_server
from extauth.settings.model import Settings
from extauth.stores.base import AuditEntry, KeyStore
from extauth.stores.sqlite import SqliteKeyStore
from extauth.stores.sqlite_rows import COLUMNS, to_row
from extauth.telemetry.collector import collector_for
from extauth.telemetry.lines import LineWriter

_SAMPLES = 20
_AT_ONCE = 64
_API = "/dashboard/api"
_BY = Actor(name="benchmark", source="benchmark")
# What each page asks for when it is opened.
PAGES = {
    "overview of an operator": ("/overview", "/near"),
    "search": ("/search?q=0000", "/search?q=user-1", "/search?q=key%20number%2099"),
    "first page of all keys": ("/admin/keys?limit=50",),
    "one key": ("/admin/keys/{key}", "/admin/keys/{key}/limits", "/admin/keys/{key}/refusals"),
    "one user": ("/admin/keys?user_id={user}", "/admin/usage?user_id={user}&by=key"),
    "usage of 90 days": ("/admin/usage?from={since}&step=1h", "/admin/usage?from={since}&step=1d&by=key"),
    "bans": ("/admin/bans", "/admin/abuse/offenders"),
    "audit": ("/admin/audit?limit=50",),
    "system": ("/system",),
    "overview of a consumer": ("/me/overview",),
    "keys of a consumer": ("/me/keys",),
    "usage of a consumer": ("/me/usage?from={since}&step=1h",),
}


def record(number: int, hashed: str) -> ApiKey:
    """Return a key of the place that usage is counted under."""
    where = place(number)
    return ApiKey(
        key_id=where.key_id,
        hashed_key=hashed,
        hint=f"xa_live_{where.key_id}_…0000",
        user_id=where.user_id,
        name=f"key number {number}",
        tier="default",
        scopes=("orders:read",),
        environment="live",
        created_at=datetime.now(UTC) - timedelta(days=100) + timedelta(seconds=number),
    )


def insert(connection: sqlite3.Connection, records: Sequence[ApiKey]) -> None:
    """Put records into the file, all at once."""
    values = ", ".join(f":{name}" for name in COLUMNS)
    query = f"INSERT INTO keys (sequence, {', '.join(COLUMNS)}) VALUES (:sequence, {values})"  # noqa: S608 - constant names, no input
    connection.executemany(query, [{"sequence": at, **to_row(key)} for at, key in enumerate(records, 1)])
    connection.execute("UPDATE counter SET last = ?", (len(records),))


async def fill_keys(store: KeyStore, keys: int) -> None:
    """Put records in; nobody has their secrets."""
    # It is compared with nothing: nobody has a secret of these keys.
    hashed = "$argon2id$v=19$m=8192,t=1,p=1$bm9ib2R5IGhhcyBpdA$bm9ib2R5IGhhcyBpdCBhdCBhbGwsIG5vIG5vIG5v"
    records = [record(number, hashed) for number in range(keys)]
    if isinstance(store, SqliteKeyStore):
        await store._thread.transaction(lambda connection: insert(connection, records), writes=True)  # noqa: SLF001 - one by one each would be on the disk first
        return
    for start in range(0, keys, _AT_ONCE):
        await asyncio.gather(*(store.add(key, entry_of(key)) for key in records[start : start + _AT_ONCE]))


def entry_of(key: ApiKey) -> AuditEntry:
    """Return the audit entry of a new key."""
    return AuditEntry(at=key.created_at, actor="cli", source="cli", action="key.created", key_id=key.key_id)


async def serve(stack: AsyncExitStack, app: App, lines: LineWriter) -> str:
    """Answer on a socket until the stack closes; return where."""
    registry = CollectorRegistry()
    registry.register(collector_for(app, Connections(ConnectionLimits(), now=0), lines))
    server = admin_server(admin_listener(app, health=app.health, registry=registry), app.settings)
    listener = socket.create_server(("127.0.0.1", 0))
    serving = asyncio.create_task(server.serve(sockets=[listener]))

    async def stop() -> None:
        server.should_exit = True
        await serving

    stack.push_async_callback(stop)
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


async def measure(client: httpx.AsyncClient, paths: tuple[str, ...]) -> tuple[list[float], int]:
    """Open a page again and again: all of its requests at once. Return milliseconds, and bytes of one."""
    took, size = [], 0
    for _ in range(_SAMPLES):
        started = time.perf_counter()
        answers = await asyncio.gather(*(client.get(_API + path) for path in paths))
        took.append((time.perf_counter() - started) * 1_000)
        for answer in answers:
            answer.raise_for_status()
        size = sum(len(answer.content) for answer in answers)
    return took, size


async def tell(client: httpx.AsyncClient, options: Options, user: str) -> None:
    """Open each page, and print how long that took."""
    since = (datetime.now(UTC) - timedelta(days=options.days - 1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    print(f"\n{'milliseconds':30} {'least':>8} {'half':>8} {'most':>8} {'answers, kB':>12}")
    for name, paths in PAGES.items():
        filled = tuple(path.format(key=place(0).key_id, user=user, since=since) for path in paths)
        took, size = await measure(client, filled)
        half = statistics.median(took)
        print(f"{name:30} {min(took):8.1f} {half:8.1f} {max(took):8.1f} {size / 1_000:12.0f}")


async def run(options: Options) -> int:
    """Fill the store, open each page, and print how long that took; 2 where the store holds something."""
    settings = Settings.model_validate(
        {
            "store": {"url": options.url, "timeout": "10s"},
            "keys": {"peppers": ["a pepper of this benchmark and of nothing else"]},
            "log": {"level": "error"},
        }
    )
    async with AsyncExitStack() as stack:
        lines = LineWriter(sys.stderr.fileno())
        app = await stack.enter_async_context(open_app(settings, lines=lines))
        store = app.parts.management.store
        if await store.count():
            print("benchmark: the store is not empty", file=sys.stderr)
            return 2
        started = time.perf_counter()
        await fill_keys(store, options.keys)
        await fill(app.parts.usage, options)
        print(f"filled in {time.perf_counter() - started:.0f} s")
        user = place(0).user_id
        new = NewKey(user_id=user, name="operator", tier="default", environment="live", scopes=(ADMIN,))
        key = await app.keys.create(new, _BY)
        base = await serve(stack, app, lines)
        client = await stack.enter_async_context(httpx.AsyncClient(base_url=base, timeout=60))
        (await client.post(f"{_API}/session", json={"key": key.text})).raise_for_status()
        await tell(client, options, user)
    return 0


if __name__ == "__main__":
    sys.exit(uvloop.run(run(options_of(__doc__ or ""))))
