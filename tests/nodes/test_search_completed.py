"""A server on a Redis of an earlier version, whose keys no search finds yet."""

from __future__ import annotations

from pathlib import Path

from extauth.keys.scopes import ADMIN
from extauth.stores.redis import layout
from tests.integration.processes import wait_until
from tests.redis.server import RedisServer, running

from .fleet import PATIENCE, Fleet, served


def test_a_server_has_the_keys_of_an_earlier_version_found(tmp_path: Path) -> None:
    """In the background, by one of its workers, and once."""
    with running(RedisServer(tmp_path / "redis")) as redis:
        server = Fleet(tmp_path / "server", store_url=redis.url, workers=2)
        server.create_key(ADMIN)
        redis.ask("DEL", layout.WORDS)
        with served(server):
            wait_until(lambda: bool(server.events("search_completed")), within=PATIENCE, what="it is done")
        with served(server):
            pass
        assert [line["keys"] for line in server.events("search_completed")] == [1]
        assert redis.ask("ZCARD", layout.WORDS) == 3
