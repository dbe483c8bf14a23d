"""Programs that change keys are killed, really; others find everything whole."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.redis.server import RedisServer, opened
from tests.redis.state import actions_in, assert_consistent, records_in

# Makes and changes keys for ever, and says which change is acknowledged.
_PROGRAM = """
import asyncio, sys
from dataclasses import replace
from tests.keys import entry, record
from tests.redis.server import opened

async def work(store, worker):
    for number in range(100_000):
        key_id = f"{sys.argv[2]}w{worker}n{number}"
        key = record(key_id)
        await store.add(key, entry(key_id, action="add"))
        print(key_id, 1, flush=True)
        await store.save(replace(key, tier="pro", version=2), entry(key_id, action="save"))
        print(key_id, 2, flush=True)

async def main():
    async with opened(sys.argv[1]) as store:
        await asyncio.gather(*(work(store, worker) for worker in range(5)))

asyncio.run(main())
"""


def test_a_killed_program_leaves_no_half_made_key(servers: Sequence[RedisServer], url: str) -> None:
    """Every acknowledged change is there and audited once; what was under way is done, or was never begun."""
    acknowledged: dict[str, int] = {}
    for turn in range(4):
        root = Path(__file__).parents[2]
        with subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, url, f"t{turn}"], cwd=root, stdout=subprocess.PIPE, text=True
        ) as program:
            assert program.stdout is not None
            for _ in range(random.randrange(20, 120)):
                key_id, version = program.stdout.readline().split()
                acknowledged[key_id] = int(version)
            program.kill()
            # What it wrote before it was killed is acknowledged, too; its last line may be torn.
            for line in program.stdout.read().splitlines()[:-1]:
                key_id, version = line.split()
                acknowledged[key_id] = int(version)
    asyncio.run(_repair(url))
    state = assert_consistent(servers)
    found = {key.key_id: key.version for key in records_in(state)}
    assert all(found.get(one, 0) >= last for one, last in acknowledged.items())
    for one, last in found.items():
        assert actions_in(state, one) == ["add", "save"][:last]


async def _repair(url: str) -> None:
    async with opened(url) as store:
        await store.repair(left_for_ms=0)
