"""A Redis for one test; where it takes long to start, modules have one for all of theirs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.redis.server import RedisServer, running


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    """Run a Redis."""
    with running(RedisServer(tmp_path / "redis")) as server:
        yield server
