"""Whom limits in shadow would have refused, from the checks to the report."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from extauth.admin.limit_models import ShadowReportRecord
from extauth.stores.shadowed import Place, ShadowedCount
from tests.admin.console import Console, mistakes, with_console
from tests.fakes import START

SECTIONS: dict[str, Any] = {
    "tiers": {
        "free": {"rates": [{"rate": "1/hour", "shadow": True}, {"rate": "90/hour", "name": "hard"}]},
    },
    "routes": [{"path": "/open", "auth": "none", "name": "open"}],
    "limits": {"anonymous": [{"rate": "2/hour", "shadow": True, "name": "strangers"}]},
}


async def report(it: Console, query: str = "") -> Any:
    """Return the report, once the server has had the time to write."""
    it.world.app.recorder.flush()
    await asyncio.sleep(1.2)
    answer = await it.ask("GET", f"/limits/shadow-report{query}")
    assert answer.status_code == 200, answer.text
    ShadowReportRecord.model_validate(answer.json())
    return answer.json()


def test_the_report_names_who_would_have_been_refused(tmp_path: Path) -> None:
    """By limit, day, key and route, the busiest first, and nobody else."""

    async def scenario(it: Console) -> None:
        busy, quiet = await it.create(tier="free"), await it.create(tier="free")
        for path, key, times in (("/", busy, 4), ("/x", busy, 1), ("/", quiet, 1)):
            for _ in range(times):
                assert (await it.world.ask(path, key=key["key"])).status == 200
        for _ in range(3):
            assert (await it.world.ask("/open")).status == 200
        assert await report(it) == {
            "since": "2026-02-23",
            "until": "2026-03-01",
            "limits": [
                {
                    "name": "per-hour",
                    "requests": 4,
                    "keys": 1,
                    "days": [{"day": "2026-03-01", "requests": 4}],
                },
                {
                    "name": "strangers",
                    "requests": 1,
                    "keys": 0,
                    "days": [{"day": "2026-03-01", "requests": 1}],
                },
            ],
            "callers": [
                {
                    "limit": "per-hour",
                    "key_id": busy["key_id"],
                    "route": "default",
                    "requests": 4,
                    "last_day": "2026-03-01",
                },
                {
                    "limit": "strangers",
                    "key_id": "anonymous",
                    "route": "open",
                    "requests": 1,
                    "last_day": "2026-03-01",
                },
            ],
            "left_out": 0,
        }

    with_console(tmp_path, scenario, **SECTIONS)


def test_the_report_goes_back_as_far_as_asked(tmp_path: Path) -> None:
    """By whole days in UTC, at most as far as is kept; what is left out is counted."""

    async def scenario(it: Console) -> None:
        store = it.world.management.store
        today = START.date()
        for ago in (29, 6, 5, 0):
            day = today.fromordinal(today.toordinal() - ago)
            places = (Place("a", "k", "r"), Place("a", f"k{ago}", "r"))
            await store.note_shadowed([ShadowedCount(day=day, place=place, requests=1) for place in places])
        everything = await report(it, "?since=2020-01-01T00:00:00Z")
        assert everything["since"] == "2026-01-31"
        assert (everything["limits"][0]["requests"], everything["limits"][0]["keys"]) == (8, 5)
        few = await report(it, "?since=2026-02-24T23:59:59Z&limit=1")
        assert [day["day"] for day in few["limits"][0]["days"]] == ["2026-02-24", "2026-03-01"]
        assert [caller["requests"] for caller in few["callers"]] == [2]
        assert few["left_out"] == 2
        assert (await report(it, "?since=2030-01-01T00:00:00Z"))["limits"] == []
        answer = await it.ask("GET", "/limits/shadow-report?since=7d")
        assert list(mistakes(answer, 400, "invalid_query")) == ["since"]

    with_console(tmp_path, scenario, **SECTIONS)
