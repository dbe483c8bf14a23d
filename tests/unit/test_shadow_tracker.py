"""Whom limits in shadow would have refused: counted off the hot path, bounded, and not lost at the end."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from extauth.clock import to_us
from extauth.errors import StoreError
from extauth.keys.shadows import ShadowTracker
from extauth.model import Code, Decision
from extauth.stores.shadowed import ANONYMOUS, MOST_LIMITS_BEYOND, MOST_PLACES, OTHER
from extauth.telemetry.metrics import CheckCounts
from extauth.telemetry.recorder import Recorder
from tests.checking import request_for
from tests.fakes import START, FakeClock, MemoryKeyStore
from tests.logs import ListedLines

NOW_US = to_us(START)
TODAY = START.date()


async def kept(store: MemoryKeyStore) -> dict[tuple[str, ...], int]:
    """Return what is kept of today and tomorrow."""
    counts = await store.shadowed(TODAY, TODAY + timedelta(days=1))
    return {(str(count.day), *count.place): count.requests for count in counts}


def test_requests_are_counted_by_day_limit_key_and_route() -> None:
    """Once for each limit that would have refused; days end at midnight in UTC."""

    async def scenario() -> None:
        store = MemoryKeyStore()
        tracker = ShadowTracker(store)
        tracker.see(("a", "b"), "k1", "r", NOW_US)
        tracker.see(("a",), "k1", "r", NOW_US)
        tracker.see(("a",), "", "r", NOW_US)
        tracker.see(("a",), "k1", "r", to_us(START + timedelta(hours=12)))
        await tracker.write()
        assert await kept(store) == {
            ("2026-03-01", "a", "k1", "r"): 2,
            ("2026-03-01", "b", "k1", "r"): 1,
            ("2026-03-01", "a", ANONYMOUS, "r"): 1,
            ("2026-03-02", "a", "k1", "r"): 1,
        }
        await tracker.write()
        assert store.calls["note_shadowed"] == 1

    asyncio.run(scenario())


def test_a_store_that_fails_loses_nothing() -> None:
    """What was counted is kept with what comes meanwhile; a clean stop writes the rest."""

    async def scenario() -> None:
        store = MemoryKeyStore()
        tracker = ShadowTracker(store)
        store.failure = StoreError("gone")
        for _ in range(3):
            tracker.see(("a",), "k1", "r", NOW_US)
            await tracker.write()
        store.failure = None
        await tracker.close()
        assert await kept(store) == {("2026-03-01", "a", "k1", "r"): 3}

    asyncio.run(scenario())


def test_what_waits_is_bounded() -> None:
    """However many keys and limits there are while the store is gone; the numbers still add up."""

    async def scenario() -> None:
        tracker = ShadowTracker(MemoryKeyStore())
        for number in range(MOST_PLACES + 500):
            tracker.see(("a",), f"k{number}", "r", NOW_US)
        for number in range(500):
            tracker.see((f"l{number}",), "k", "r", NOW_US)
        (places,) = tracker.unwritten.values()
        assert len(places) == MOST_PLACES + MOST_LIMITS_BEYOND + 1
        assert sum(places.values()) == MOST_PLACES + 1_000
        assert {place[1:] for place in places if place[1] == OTHER} == {(OTHER, OTHER)}

    asyncio.run(scenario())


def test_the_recorder_hands_over_who_it_was() -> None:
    """Key and route of each decision, but not of those that only a share of the limits was asked about."""
    tracker, clock = ShadowTracker(MemoryKeyStore()), FakeClock()
    counts = CheckCounts(("envoy",))
    recorder = Recorder(counts=counts, lines=ListedLines(), clock=clock, shadows=tracker)
    known = Decision(Code.ALLOWED, presented_id="k1", route="r", shadowed=("a", "b"))
    for decision in (known, known._replace(presented_id=""), known._replace(degraded="limits=degrade")):
        recorder.record(request_for("/"), decision, clock.now_us())
    recorder.record(request_for("/"), known._replace(shadowed=()), clock.now_us())
    recorder.flush()
    (places,) = tracker.unwritten.values()
    assert places == {
        ("a", "k1", "r"): 1,
        ("b", "k1", "r"): 1,
        ("a", ANONYMOUS, "r"): 1,
        ("b", ANONYMOUS, "r"): 1,
    }
    assert counts.shadowed["a"] == 3
