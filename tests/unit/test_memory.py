"""Memory does not grow with what strangers send."""

from __future__ import annotations

import asyncio
import tracemalloc

import pytest

from tests.checking import Rig
from tests.dialects import PROXIES

REQUESTS = 400
LONG = 15_000


@pytest.mark.parametrize("name", list(PROXIES))
@pytest.mark.parametrize(
    "field",
    ["path", "query", "method", "host", "x-api-key", "authorization", "x-request-id", "x-forwarded-for"],
)
def test_nothing_long_is_remembered(name: str, field: str) -> None:
    """Paths, hosts, keys and ids as long as a head may be: a full cache of them would fill the machine."""
    rig = Rig(routes=[{"path": "/open/**", "auth": "none"}], credentials={"query_parameter": True})

    async def ask(number: int) -> None:
        text = b"%06d" % number + b"a" * LONG
        method, target, headers = b"GET", b"/open/x", {b"host": b"h"}
        if field == "path":
            target += text
        elif field == "query":
            target += b"?api_key=" + text
        elif field == "method":
            method = text
        else:
            headers[field.encode()] = text
        await rig.answer(PROXIES[name].ask(method, target, headers))
        rig.recorder.flush()
        rig.lines.taken.clear()

    async def ask_many() -> int:
        await ask(0)
        tracemalloc.start()
        for number in range(REQUESTS):
            await ask(number)
        grown, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return grown

    # A tenth of what was sent is much more than what may be remembered of it, such as digests.
    assert asyncio.run(ask_many()) < REQUESTS * LONG / 10
    rig.hasher.close()
