"""A whole extauth in this process on a Redis behind a relay, and how long its answers take."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from extauth.clock import Clock, SystemClock
from tests.answers import Reply
from tests.directory import forged
from tests.redis.relay import Relay, relaying
from tests.redis.server import RedisServer, ask, running
from tests.world import World, open_world

# Of each limit, and the part of it that this server gives out on its own.
CAPACITY = 400
SHARE = 0.05
LOCALLY = 20
# What the settings allow the store, and how long an answer may take in all.
DEADLINE_SECONDS = 0.05
ANSWERED_WITHIN = 0.075
BACK_WITHIN = 1.0
COLD_KEYS = 24

# It answers while it loads, and may be told to load slowly.
_TRANSIENT = (
    *("--save", "", "--appendonly", "no", "--enable-debug-command", "yes"),
    *("--loading-process-events-interval-bytes", "1024"),
)

SECTIONS: dict[str, Any] = {
    "keys": {"peppers": ["a pepper that all servers of these tests share"]},
    "tiers": {"default": {"rates": [f"{CAPACITY}/hour"]}},
    "limits": {"anonymous": [f"{CAPACITY}/hour"]},
    "routes": [
        {"path": "/open/**", "auth": "none"},
        {"path": "/scoped/**", "scopes": ["orders:read"]},
    ],
}


def waited_for_cpu() -> float:
    """Return the seconds in which threads of this process were ready, and the machine busy with others.

    Others are also those that the machine's own host runs instead of it.
    """
    # The eighth number of the first line, in hundredths of a second (proc_stat(5)).
    waited_ns = int(Path("/proc/stat").read_text().split(None, 9)[8]) * 10_000_000
    for file in Path("/proc/self/task").glob("*/schedstat"):
        # A thread may end meanwhile.
        try:
            waited_ns += int(file.read_text().split()[1])
        except OSError:
            continue
    return waited_ns / 1e9


class Answer(NamedTuple):
    """What came of a check, and in how much of the time that the machine gave to this process."""

    reply: Reply
    seconds: float

    @property
    def status(self) -> int:
        """The status."""
        return self.reply.status


async def timed(asked: Awaitable[Reply]) -> Answer:
    """Wait for an answer, and measure it."""
    loop = asyncio.get_running_loop()
    waited, began = waited_for_cpu(), loop.time()
    reply = await asked
    return Answer(reply, loop.time() - began - (waited_for_cpu() - waited))


class Served:
    """The server, its Redis, the wire between them, and keys: one that is known, and some never seen yet."""

    def __init__(self, world: World, server: RedisServer, relay: Relay) -> None:
        self.world = world
        self.server = server
        self.relay = relay
        self.warm = ""
        self.cold: list[str] = []
        self.loading: asyncio.Task[Any] | None = None

    async def prepare(self) -> None:
        """Make the keys, and use the first one."""
        self.warm = (await self.world.create_key()).text
        for _ in range(COLD_KEYS):
            self.cold.append((await self.world.create_key()).text)
        assert (await self.check(self.warm)).status == 200

    async def check(self, key: str | None, path: str = "/v1/x") -> Answer:
        """Check, and measure it."""
        return await timed(self.world.ask(path, key=key))

    async def round(self) -> dict[str, Answer]:
        """Ask once in each way, all at the same time."""
        ways = {
            "warm": self.check(self.warm),
            "cold": self.check(self.cold.pop()),
            "cold, with scopes": self.check(self.cold.pop(), "/scoped/x"),
            "anonymous": self.check(None, "/open/x"),
            "forged": self.check(forged(self.warm.encode()).decode()),
            "missing": self.check(None),
        }
        return dict(zip(ways, await asyncio.gather(*ways.values()), strict=True))

    async def command(self, *words: str | int) -> Any:
        """Ask Redis itself, around the relay."""
        return await asyncio.to_thread(self.server.ask, *words)

    async def until(self, condition: Callable[[Answer], bool], *, within: float = BACK_WITHIN) -> Answer:
        """Check the known key until the answer is as wanted."""
        loop = asyncio.get_running_loop()
        began, waited = loop.time(), waited_for_cpu()
        while not condition(answer := await self.check(self.warm)):
            lasted = loop.time() - began - (waited_for_cpu() - waited)
            assert lasted < within, f"still {answer} after {lasted} s"
            await asyncio.sleep(0.005)
        return answer

    async def is_back(self) -> Answer:
        """Wait until the known key is answered by the store again: within the time that is promised."""
        return await self.until(is_normal)

    def problem(self, part: str = "limits") -> str:
        """Return what `/readyz` says of a part."""
        return self.world.app.health.page()["parts"][part]


def is_normal(answer: Answer) -> bool:
    """Tell whether the store was asked, and let it pass."""
    return answer.status == 200 and "x-extauth-degraded" not in answer.reply.headers


@asynccontextmanager
async def serving(
    folder: Path,
    *,
    failure: dict[str, Any],
    arguments: tuple[str, ...] = (),
    clock: Clock | None = None,
    **sections: Any,
) -> AsyncIterator[Served]:
    """Run all of it, with more sections of the settings."""
    with running(RedisServer(folder / "redis", arguments or _TRANSIENT)) as server:
        async with relaying(server.port) as relay:
            store = {"url": relay.url}
            clock = clock or SystemClock()
            sections |= {"store": store, "failure": failure, **SECTIONS}
            async with open_world(folder, clock=clock, **sections) as world:
                served = Served(world, server, relay)
                await served.prepare()
                yield served


def is_loading(port: int) -> bool:
    """Tell whether a Redis answers that it is."""
    try:
        ask(port, "PING")
    except RuntimeError as error:
        return "LOADING" in str(error)
    return False
