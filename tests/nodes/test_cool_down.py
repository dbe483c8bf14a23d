"""Several servers on one Redis: who goes on past refusals cools down on all of them, then for nothing."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from tests.integration.processes import wait_until
from tests.redis.server import RedisServer, running

from .node import Node

# So many that a server reaches them only by what it refuses without asking.
COOL_DOWN = {"violations": 300, "window": "1h", "cool_down": "1h", "longest": "1d"}
OF_EACH = 140
TIERS = {"default": {"rates": ["1/30d"], "cool_down": COOL_DOWN}}


def code(node: Node, key: str) -> str:
    """Ask as Envoy does; return why it was refused."""
    body = node.ask(key).body
    return "" if body is None else str(body["code"])


def reads(redis: RedisServer) -> int:
    """Return how often limits were read: each check that is asked about reads them."""
    stats = str(redis.ask("INFO", "commandstats"))
    calls = [line for line in stats.splitlines() if line.startswith("cmdstat_get:")]
    return sum(int(line.split("calls=")[1].split(",")[0]) for line in calls)


def test_a_flood_cools_down_everywhere_and_then_costs_redis_nothing(tmp_path: Path) -> None:
    """What servers refuse by themselves is counted together; who knows of the cool-down doesn't ask."""
    with ExitStack() as stack:
        redis = stack.enter_context(running(RedisServer(tmp_path / "redis")))
        one, two = (Node(tmp_path / name, store_url=redis.url, tiers=TIERS) for name in ("one", "two"))
        for node in (one, two):
            node.child.start()
            stack.callback(node.child.stop)
            stack.callback(node.close)
        key = str(one.create_key()["key"])
        assert [one.check(key), two.check(key)] == [200, 429]
        before = reads(redis)
        codes = [code(node, key) for _ in range(OF_EACH) for node in (one, two)]
        assert set(codes) == {"rate_limited"}
        assert reads(redis) - before < OF_EACH
        wait_until(lambda: code(one, key) == "cooling_down", within=3, what="the cool-down on one server")
        wait_until(lambda: code(two, key) == "cooling_down", within=3, what="the cool-down on the other")
        before = reads(redis)
        assert {code(node, key) for _ in range(300) for node in (one, two)} == {"cooling_down"}
        # Each server looks for new bans four times a second; none of the 600 checks asks for anything.
        assert reads(redis) - before < 60
