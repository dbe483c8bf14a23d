"""Redis servers for tests, each empty when a test begins."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.redis.server import RedisServer, cluster_url, shared_cluster, shared_server


@pytest.fixture
def server() -> RedisServer:
    """Give an empty server."""
    server = shared_server()
    server.ask("FLUSHALL")
    return server


@pytest.fixture
def cluster() -> Sequence[RedisServer]:
    """Give an empty cluster."""
    servers = shared_cluster()
    for server in servers:
        server.ask("FLUSHALL")
    return servers


@pytest.fixture(params=["redis", "redis-cluster"])
def servers(request: pytest.FixtureRequest) -> Sequence[RedisServer]:
    """Give an empty Redis of each kind."""
    found: Sequence[RedisServer] = (shared_server(),) if request.param == "redis" else shared_cluster()
    for server in found:
        server.ask("FLUSHALL")
    return found


@pytest.fixture
def url(servers: Sequence[RedisServer]) -> str:
    """Tell where `servers` are."""
    return servers[0].url if len(servers) == 1 else cluster_url(servers)
