"""Usage is true: mixed requests through both proxies, with either store, come to what both ends counted."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import pytest

from .mixed import MAXIMUM, SECTIONS, agreed, differences, mixed
from .real import real


@pytest.mark.parametrize("workers", [1, 4], ids=["embedded", "redis"])
def test_usage_tells_what_clients_and_upstream_counted(workers: int) -> None:
    """Each key's requests by what became of them; and the same sums by user, route, tier and in all."""
    folder = Path(tempfile.mkdtemp(prefix="extauth-mixed-"))
    folder.chmod(0o755)
    with real(folder, workers=workers, clients=4, maximum=MAXIMUM, **SECTIONS) as it:
        seen = asyncio.run(mixed(it, "nginx", requests=300, parallel=24))
        # What came through one proxy is there when the other one's comes.
        later = asyncio.run(mixed(it, "envoy", requests=300, parallel=24))
        for key_id, found in later.clients.items():
            seen.clients[key_id] = seen.clients.get(key_id, Counter()) + found
        seen.upstream += later.upstream
        seen.odd += later.odd
        total: Counter[str] = sum(seen.clients.values(), Counter())
        assert {"allowed", "throttled", "refused"} <= set(total)
        by_key = asyncio.run(agreed(it, seen))
        assert differences(it, seen, by_key) == []
    shutil.rmtree(folder)
