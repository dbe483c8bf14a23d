"""The real service behind all proxies: its limits hold, and no slot stays taken; with either store."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration import shipped
from tests.integration.processes import Child, wait_until
from tests.redis import slots
from tests.waiting import eventually

from .callers import NONE, QUICK, STREAMED, Behaviour, Caller
from .conftest import PATIENCE
from .crowd import SETTLED_WITHIN, sequence
from .real import Real, real, run_crowd, weights_for

_MAXIMUM = 4
_SECONDS = 2.5
_TTL = 2.0
# Streams need a slot of a second limit, whose name makes a lease a long one.
_ROUTES = [{"path": "/stream", "name": "streams", "concurrency": {"max": 500, "per": "route"}}]
_HANGS = Behaviour("hangs", "/hang")


# What proxies do is the same with either store: three of them go with the quicker one alone.
_WORKERS = {"embedded": 1, "redis": 4}
_STAGES = [("embedded", name) for name in shipped.PROXIES] + [("redis", "envoy"), ("redis", "nginx")]
pytestmark = pytest.mark.parametrize(("service", "proxy"), _STAGES, indirect=True, scope="module")


@pytest.fixture(scope="module")
def service(request: pytest.FixtureRequest) -> Iterator[Real]:
    """Everything, with one store after the other; nothing came that couldn't be read."""
    folder = Path(tempfile.mkdtemp(prefix="extauth-inflight-"))
    folder.chmod(0o755)
    with real(folder, workers=_WORKERS[request.param], clients=6, maximum=_MAXIMUM, routes=_ROUTES) as it:
        yield it
        # HAProxy also logs that a client's leaving ended the Lua action, which is ignored.
        for why in ("unreadable", "foreign"):
            assert it.node.metric("extauth_completion_unread_total", why=why) == 0
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def proxy(request: pytest.FixtureRequest) -> str:
    """One proxy after the other."""
    return str(request.param)


def _settle(service: Real) -> None:
    """Wait until nothing is held or waits in Redis, and hold that the rest ends by itself."""
    if service.redis is None:
        return
    redis = service.redis

    def is_idle() -> bool:
        return (slots.held(redis), slots.waiting(redis)) == (0, 0)

    wait_until(is_idle, within=SETTLED_WITHIN, what="nothing held")
    slots.assert_all_end(redis)


def test_a_crowd_never_exceeds_the_limit_and_leaves_nothing(service: Real, proxy: str) -> None:
    """Whatever clients and upstream do, no client has more at the upstream, and all slots are free again."""
    report = asyncio.run(run_crowd(service, proxy, seconds=_SECONDS, parallel=_MAXIMUM + 2, maximum=_MAXIMUM))
    assert report.most == _MAXIMUM, report.lines()
    assert (report.left_upstream, report.free) == (0, _MAXIMUM), report.lines()
    assert {200, NONE} < set(report.statuses()), report.lines()
    assert {behaviour.name for behaviour in weights_for(proxy)} == {
        name for client in report.clients for name in client.behaviours
    }
    _settle(service)


def test_one_more_than_may_be_in_flight_is_refused(service: Real, proxy: str) -> None:
    """A crowd's may all find room: on a slow machine checks wait longer, for ends that are told late."""
    client = service.make_client(limits={"concurrency": {"max": 2}})
    asyncio.run(_ask_until_refused(service, proxy, client.key, beside=2))
    assert service.upstream.most[client.key_id] == 2
    _settle(service)


async def _ask_until_refused(service: Real, proxy: str, key: str, *, beside: int) -> None:
    """Ask beside so many requests that hang, each anew once the proxy gives it up, until one is refused."""
    one_more, *others = [Caller(service.ports[proxy], key) for _ in range(1 + beside)]
    hanging = [asyncio.create_task(_hang(caller)) for caller in others]
    async with asyncio.timeout(PATIENCE):
        await eventually(lambda: service.upstream.left() == beside)
        while (await one_more.ask(QUICK)).status != 429:
            pass
    for asked in hanging:
        asked.cancel()
    await asyncio.gather(*hanging, return_exceptions=True)
    for caller in (one_more, *others):
        await caller.close()
    await eventually(lambda: service.upstream.left() == 0)


async def _hang(caller: Caller) -> None:
    while True:
        await caller.ask(_HANGS)


def test_one_request_after_the_other_is_never_refused(service: Real, proxy: str) -> None:
    """A client with a limit of one and no queue, that sends the next when it has its answer."""
    client = service.make_client(limits={"concurrency": {"max": 1}})
    for behaviour, count in ((QUICK, 1_000), (STREAMED, 10)):
        asked = sequence(service.ports[proxy], client.key, count=count, behaviour=behaviour)
        assert asyncio.run(asked) == {200: count}
    assert service.upstream.most[client.key_id] == 1
    _settle(service)


def test_what_a_killed_proxy_had_in_flight_ends_by_itself(service: Real, proxy: str) -> None:
    """Nobody reports it, and it expires; whoever waited for a slot behind it is forgotten at once."""
    concurrency = {"max": 2, "ttl": f"{_TTL:.0f}s", "queue": 2, "wait": "20s"}
    client = service.make_client(limits={"concurrency": concurrency})
    killed_at = asyncio.run(_kill_with_requests_in_flight(service, proxy, client.key))
    assert service.upstream.left() == 0
    if service.redis is not None:
        # Before the proxies would have given up the checks themselves.
        assert time.monotonic() < killed_at + 0.5
        assert (slots.held(service.redis), slots.waiting(service.redis)) == (2, 0)
    service.proxies[proxy].start()
    answers = asyncio.run(_ask_until_let_in(service.ports[proxy], client.key))
    assert answers[-1] == 200
    assert time.monotonic() < killed_at + _TTL + 1.5
    _settle(service)


async def _kill_with_requests_in_flight(service: Real, proxy: str, key: str) -> float:
    """Kill a proxy that has two requests at the upstream and two that wait; return when."""
    callers = [Caller(service.ports[proxy], key) for _ in range(4)]
    asked = [asyncio.create_task(caller.ask(_HANGS)) for caller in callers]
    await eventually(lambda: service.upstream.left() == 2)
    if service.redis is not None:
        redis = service.redis
        await eventually(lambda: slots.waiting(redis) == 2)
    _kill(service.proxies[proxy])
    killed_at = time.monotonic()
    assert [reply.status for reply in await asyncio.gather(*asked)] == [NONE] * 4
    await eventually(lambda: service.upstream.left() == 0)
    if service.redis is not None:
        redis = service.redis
        await eventually(lambda: slots.waiting(redis) == 0, within=0.4)
    return killed_at


async def _ask_until_let_in(port: int, key: str) -> list[int]:
    caller, answers = Caller(port, key), []
    async with asyncio.timeout(_TTL + PATIENCE):
        while 200 not in answers:
            answers.append((await caller.ask(QUICK)).status)
    await caller.close()
    return answers


def _kill(proxy: Child) -> None:
    """Kill a proxy with the workers that it has, of which it is the parent."""
    assert proxy._process is not None
    process_id = proxy._process.pid
    workers = Path(f"/proc/{process_id}/task/{process_id}/children").read_text().split()
    proxy.kill()
    for worker in workers:
        os.kill(int(worker), signal.SIGKILL)
