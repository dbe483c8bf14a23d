"""Clients that misbehave, while workers and Redis are killed: the limit holds, and all slots come back."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.integration.processes import wait_until
from tests.nodes.fleet import PATIENCE, Fleet
from tests.redis import slots

from .callers import NONE
from .real import Real, real, run_crowd

_MAXIMUM = 4
_SECONDS = 4.0
# Longer than the proxies let any request take here, and shorter than the crowd waits for all to be idle.
_TTL = "1500ms"
_WORKER_KILLED_AFTER, _REDIS_KILLED_AFTER, _REDIS_GONE_FOR = 1.0, 1.0, 0.3


@pytest.fixture(scope="module")
def service() -> Iterator[Real]:
    """Everything."""
    folder = Path(tempfile.mkdtemp(prefix="extauth-inflight-"))
    folder.chmod(0o755)
    with real(folder, workers=2, clients=4, maximum=_MAXIMUM, ttl=_TTL) as it:
        yield it
    shutil.rmtree(folder)


@pytest.mark.parametrize("proxy", ["envoy", "nginx"])
def test_the_limit_holds_while_a_worker_and_redis_are_killed(service: Real, proxy: str) -> None:
    """No client ever has more at the upstream; what the faults left taken is free again by expiry."""
    assert isinstance(service.node, Fleet)
    redis = service.redis
    assert redis is not None

    async def scenario() -> None:
        killing = asyncio.create_task(_kill(service))
        report = await run_crowd(
            service,
            proxy,
            seconds=_SECONDS,
            parallel=_MAXIMUM + 2,
            maximum=_MAXIMUM,
            held=partial(slots.held, redis),
        )
        await killing
        assert report.most <= _MAXIMUM, report.lines()
        assert (report.left_upstream, report.left_held, report.free) == (0, 0, _MAXIMUM), report.lines()
        assert {NONE, 200, 429, 503} <= set(report.statuses()), report.lines()

    asyncio.run(scenario())
    wait_until(service.node.serving, within=PATIENCE, what="the worker is replaced")
    slots.assert_all_end(redis)


async def _kill(service: Real) -> None:
    assert isinstance(service.node, Fleet)
    assert service.redis is not None
    await asyncio.sleep(_WORKER_KILLED_AFTER)
    await asyncio.to_thread(service.node.kill_worker, 0)
    await asyncio.sleep(_REDIS_KILLED_AFTER)
    service.redis.child.kill()
    await asyncio.sleep(_REDIS_GONE_FOR)
    await asyncio.to_thread(service.redis.child.start)
