"""Makes the client of redis-py that a URL means, without asking anything of Redis yet."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider

from extauth.errors import StoreError
from extauth.settings.model import StoreSettings
from extauth.settings.redis_url import RedisUrl
from extauth.stores.redis.packing import pack_in_one_piece

Client: TypeAlias = Redis | RedisCluster

# How many questions are on their way to a server at once, each on a connection of its own.
CONNECTIONS = 64
# Deadlines are kept by whoever asks (`RedisLink`); this only ends what nobody waits for any more.
_ABANDONED_AFTER_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Connected:
    """A client, what messages call the Redis it speaks to, and how to let go of it."""

    client: Client
    where: str
    is_cluster: bool
    is_tls: bool
    close: Callable[[], Awaitable[None]]


class Credentials(CredentialProvider):
    """User and password, from a file where there is one: read for each connection, so that it may change."""

    def __init__(self, user: str | None, password: str | None, file: Path | None) -> None:
        self._user = user
        self._password = password
        self._file = file

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        """Return what AUTH takes. Raises StoreError where the file can't be read."""
        password = self._password or ""
        if self._file is not None:
            try:
                password = self._file.read_text(encoding="utf-8").strip()
            except (OSError, ValueError) as error:
                why = error.strerror if isinstance(error, OSError) else "not UTF-8"
                raise StoreError(f"{self._file}: the password of Redis can't be read: {why}") from error
        return (password,) if self._user is None else (self._user, password)

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        """Return what AUTH takes. See `get_credentials`."""
        return self.get_credentials()


def connect(settings: StoreSettings) -> Connected:
    """Make the client. Connections come about when they are needed."""
    url = settings.redis
    options = _options(settings, url)
    if url.kind == "cluster":
        return _cluster(url, options)
    if url.kind == "sentinel":
        return _behind_sentinels(url, settings, options)
    ((host, port),) = url.hosts
    client = Redis(host=host, port=port, db=url.database, **options)
    pack_in_one_piece(client)
    return Connected(client, str(url), is_cluster=False, is_tls=url.tls, close=client.aclose)


def _options(settings: StoreSettings, url: RedisUrl) -> dict[str, Any]:
    options: dict[str, Any] = {
        "decode_responses": True,
        # Scripts and commands answer alike under the older protocol of all versions.
        "protocol": 2,
        # Whether something may be tried again is known by whoever asks, not by the client.
        "retry": Retry(NoBackoff(), 0),
        "socket_timeout": _ABANDONED_AFTER_SECONDS,
        "socket_connect_timeout": settings.timeout.total_seconds(),
        "max_connections": CONNECTIONS,
    }
    if (who := credentials(settings)) is not None:
        options["credential_provider"] = who
    return options | _tls(settings, url)


def credentials(settings: StoreSettings) -> Credentials | None:
    """Return user and password as the settings have them; None where there are none."""
    url = settings.redis
    if url.user is None and url.password is None and settings.password_file is None:
        return None
    return Credentials(url.user, url.password, settings.password_file)


def _tls(settings: StoreSettings, url: RedisUrl) -> dict[str, Any]:
    if not url.tls:
        return {}
    files = {
        "ssl_ca_certs": settings.ca_file,
        "ssl_certfile": settings.certificate_file,
        "ssl_keyfile": settings.private_key_file,
    }
    return {
        "ssl": True,
        "ssl_cert_reqs": "required",
        "ssl_check_hostname": True,
        **{name: str(file) for name, file in files.items() if file is not None},
    }


def sentinel_of(settings: StoreSettings) -> Sentinel:
    """Return what asks the Sentinels of the settings which Redis is the master."""
    # One Sentinel that hangs must not use up the time in which another could have answered.
    patience = settings.timeout.total_seconds() / 3
    asking: dict[str, Any] = {
        "protocol": 2,
        "retry": Retry(NoBackoff(), 0),
        "socket_timeout": patience,
        "socket_connect_timeout": patience,
        **_tls(settings, settings.redis),
    }
    if settings.sentinel_password_file is not None:
        asking["credential_provider"] = Credentials(None, None, settings.sentinel_password_file)
    make: Any = Sentinel
    sentinel: Sentinel = make(list(settings.redis.hosts), sentinel_kwargs=asking)
    return sentinel


def _behind_sentinels(url: RedisUrl, settings: StoreSettings, options: dict[str, Any]) -> Connected:
    sentinel: Any = sentinel_of(settings)
    client: Redis = sentinel.master_for(url.service, db=url.database, **options)
    pack_in_one_piece(client)

    async def close() -> None:
        await asyncio.gather(client.aclose(), *(one.aclose() for one in sentinel.sentinels))

    return Connected(client, str(url), is_cluster=False, is_tls=url.tls, close=close)


def _cluster(url: RedisUrl, options: dict[str, Any]) -> Connected:
    nodes = [ClusterNode(host, port) for host, port in url.hosts]
    client = RedisCluster(startup_nodes=nodes, **options)
    return Connected(client, str(url), is_cluster=True, is_tls=url.tls, close=client.aclose)
