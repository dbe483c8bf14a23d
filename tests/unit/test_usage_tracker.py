"""Usage: counted from the decisions, off the hot path, bounded, and lost by no fault of the store."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import replace

import orjson
import pytest

from extauth.model import Code, Decision, Identified
from extauth.stores.usage import (
    DAY,
    LATENCIES,
    LATENCY_BOUNDS_US,
    LATENCY_SUM,
    MINUTE,
    UPSTREAM_DURATION_SUM,
    Group,
    Kind,
    Place,
)
from extauth.usage import word
from extauth.usage.report import OUTCOME_NAMES
from extauth.usage.sheet import CountingSheet
from extauth.usage.tracker import (
    MOST_REFUSALS_AT_ONCE,
    MOST_REFUSED_KEYS,
    POSITIONS,
    UsageTracker,
)
from tests.fake_usage import MemoryUsageStore
from tests.fakes import FakeClock
from tests.keys import identified, record
from tests.usage import NOON, NOW_US, counts, kept, noted, selection, tracking

KEY = identified(key_id="AAAAbbbb0001", user_id="u1", tier="free")
ALLOWED = Decision(Code.ALLOWED, KEY, KEY.key_id, "orders")
REFUSED = Decision(Code.RATE_LIMITED, KEY, KEY.key_id, "orders", violated=("a",), retry_after=3)


def test_decisions_are_counted_by_minute_key_and_route() -> None:
    """With what became of them and how long they took; the bound of a bucket is in it; time may run back."""

    async def scenario() -> None:
        store, tracker = tracking()
        tracker.see([noted(ALLOWED, took) for took in (0, -5, *LATENCY_BOUNDS_US, 10**7)])
        tracker.see([noted(REFUSED, at_us=NOW_US + 60_000_000), noted(ALLOWED, at_us=NOW_US + 59_999_999)])
        await tracker.write()
        latencies = [4, *[1] * len(LATENCY_BOUNDS_US)]
        total = sum(LATENCY_BOUNDS_US) + 10**7 + 10
        found = await kept(store, selection(MINUTE, Kind.KEY, KEY.key_id, group=Group.NAME))
        assert found[KEY.key_id, 0] == [11, 0, 0, 0, 0, total, *latencies, *[0] * 6]
        assert found[KEY.key_id, 60] == counts(0, 1, n5=10, n6=1)
        assert await kept(store, selection(MINUTE, Kind.USER, "u1", tier="free", route="orders"))

    asyncio.run(scenario())


@pytest.mark.parametrize("seed", range(5))
def test_whatever_order_decisions_and_writes_come_in_each_is_counted_once(seed: int) -> None:
    """Keys that change their route with each request, minutes that come back, two trackers of one key."""
    chance = random.Random(seed)
    keys = [identified(key_id=f"AAAAbbbb000{number}", user_id="u1") for number in range(3)]

    async def scenario() -> None:
        tracked = [tracking() for _ in range(2)]
        expected: Counter[tuple[str, str, int]] = Counter()
        for _ in range(200):
            _, tracker = chance.choice(tracked)
            for _ in range(chance.randint(1, 5)):
                key, route, minute = chance.choice(keys), chance.choice("ab"), chance.choice((0, 0, 0, 60))
                tracker.see(
                    [noted(Decision(Code.ALLOWED, key, key.key_id, route), at_us=NOW_US + minute * 10**6)]
                )
                expected[key.key_id, route, minute] += 1
            if chance.random() < 0.2:
                await tracker.write()
        found: Counter[tuple[str, str, int]] = Counter()
        for store, tracker in tracked:
            await tracker.write()
            for key in keys:
                asked = selection(MINUTE, Kind.KEY, key.key_id, group=Group.ROUTE)
                for (route, at), numbers in (await kept(store, asked)).items():
                    found[key.key_id, route, at] += numbers[0]
        assert found == expected
        # What they point at holds nothing any more, nor do the keys hold each other.
        for sheet in (key.counted_on for key in keys):
            assert isinstance(sheet, CountingSheet)
            assert not sheet.whose
            assert not sheet.page.counts

    asyncio.run(scenario())


def test_every_code_is_counted_somewhere() -> None:
    """As the documentation says; a new code has to be thought of."""
    assert {code.value: OUTCOME_NAMES[position] for code, position in POSITIONS.items()} == {
        "allowed": "allowed",
        "ambiguous_credentials": "refused",
        "ambiguous_path": "refused",
        "missing_key": "refused",
        "invalid_key": "refused",
        "insufficient_scope": "refused",
        "route_denied": "refused",
        "rate_limited": "rate_limited",
        "quota_exceeded": "rate_limited",
        "cooling_down": "rate_limited",
        "too_many_concurrent_requests": "throttled",
        "store_unavailable": "failed",
        "overloaded": "failed",
        "internal_error": "failed",
    }
    assert POSITIONS.keys() == set(Code)


def test_keys_are_who_they_were_when_the_request_came() -> None:
    """Two versions of a record count together under one id; nobody's requests under none."""

    async def scenario() -> None:
        store, tracker = tracking()
        newer = ALLOWED._replace(whose=Identified(replace(KEY.key, tier="pro", version=2)))
        unusable = Decision(Code.INVALID_KEY, None, KEY.key_id, "orders", reason="disabled")
        nobody = Decision(Code.MISSING_KEY, route="orders")
        tracker.see(list(map(noted, (ALLOWED, newer, unusable, nobody))))
        await tracker.write()
        by_key = await kept(store, selection(DAY, Kind.KEY, KEY.key_id, "", group=Group.NAME))
        assert {group: numbers[:5] for (group, _), numbers in by_key.items()} == {
            KEY.key_id: [2, 0, 0, 1, 0],
            "": [0, 0, 0, 1, 0],
        }
        by_tier = await kept(store, selection(DAY, group=Group.TIER))
        assert {tier for tier, _ in by_tier} == {"free", "pro", ""}

    asyncio.run(scenario())


def test_a_batch_has_no_more_places_than_the_store_takes() -> None:
    """All are written all the same, in order."""

    async def scenario() -> None:
        store, tracker = tracking()
        decisions = [Decision(Code.ALLOWED, None, f"{number:012}", "r") for number in range(120)]
        tracker.see(list(map(noted, decisions)))
        await tracker.write()
        assert [len(batch.counts) for batch in store.batches] == [50, 50, 20]
        assert [batch.number for batch in store.batches] == [1, 2, 3]

    asyncio.run(scenario())


def test_the_latest_refusals_go_along() -> None:
    """Of each key the last few since the last write, of a bounded number of keys, without any secret."""

    async def scenario() -> None:
        store, tracker = tracking()
        secret = f"/{KEY.key_id}/xa_live_{KEY.key_id}_{'s' * 43}"
        tracker.see([noted(REFUSED, at_us=NOW_US + number) for number in range(MOST_REFUSALS_AT_ONCE + 5)])
        tracker.see([noted(REFUSED, path=secret)])
        tracker.see(
            [noted(REFUSED._replace(whose=None, presented_id=f"k{n}")) for n in range(MOST_REFUSED_KEYS)]
        )
        tracker.see([noted(ALLOWED), noted(Decision(Code.MISSING_KEY))])
        await tracker.write()
        told = await store.refusals(KEY.key_id)
        assert len(told) == MOST_REFUSALS_AT_ONCE
        first = orjson.loads(told[0])
        assert "sss" not in first["path"]
        assert {**first, "path": "", "client_ip": "", "request_id": ""} == {
            "at": "2026-03-01T12:00:00.000Z",
            "code": "rate_limited",
            "method": "GET",
            "path": "",
            "route": "orders",
            "violated": ["a"],
            "retry_after": 3,
            "client_ip": "",
            "request_id": "",
            "reason": "",
        }
        refused = [key_id for batch in store.batches for key_id in batch.refusals]
        assert len(refused) == MOST_REFUSED_KEYS
        assert "" not in refused

    asyncio.run(scenario())


def test_latency_is_counted_for_each_decision_once() -> None:
    """So that percentiles are those of all checks."""

    async def scenario() -> None:
        store, tracker = tracking()
        tracker.see([noted(ALLOWED, 30), noted(REFUSED, 700)] * 10)
        await tracker.write()
        (numbers,) = (await kept(store, selection(DAY))).values()
        assert sum(numbers[:5]) == sum(numbers[LATENCIES : LATENCIES + len(LATENCY_BOUNDS_US) + 1]) == 20
        assert numbers[LATENCY_SUM] == 7_300
        assert NOON == NOW_US // 1_000_000

    asyncio.run(scenario())


def test_what_the_upstream_did_is_counted_where_the_check_was() -> None:
    """By status and duration, in the minute in which it is told; a word that is none counts nothing."""

    async def scenario() -> None:
        store, clock = MemoryUsageStore(), FakeClock()
        tracker = UsageTracker(store, process="p", clock=clock)
        tracker.see([noted(ALLOWED)])
        clock.advance(seconds=60)
        whose = word.encode(KEY.key, "orders").removeprefix(word.MARK)
        for status, took_us in ((200, 10), (204, 20), (302, 0), (404, 5), (503, 7), (101, 1)):
            tracker.see_upstream(whose, status, took_us)
        for nonsense in ("", "é", "AA", "!", "=" * 5):
            tracker.see_upstream(nonsense, 200, 1)
        tracker.see_upstream(word.encode(None, "open").removeprefix(word.MARK), 200, 1)
        await tracker.write()
        found = await kept(store, selection(MINUTE, Kind.KEY, KEY.key_id, group=Group.ROUTE))
        assert found == {
            ("orders", 0): counts(1, n5=10, n6=1),
            ("orders", 60): counts(n14=2, n15=1, n16=1, n17=1, n18=43, n19=6),
        }
        assert await kept(store, selection(MINUTE, route="open")) == {("", 60): counts(n14=1, n18=1, n19=1)}

    asyncio.run(scenario())


def test_no_report_tells_a_time_that_cannot_be_kept() -> None:
    """However long the upstream is said to have taken: 64 bits must hold the sum of many."""

    async def scenario() -> None:
        store, tracker = tracking()
        whose = word.encode(KEY.key, "orders").removeprefix(word.MARK)
        tracker.see_upstream(whose, 200, 10**20)
        await tracker.write()
        found = await kept(store, selection(MINUTE))
        assert {numbers[UPSTREAM_DURATION_SUM] for numbers in found.values()} == {86_400_000_000}

    asyncio.run(scenario())


def test_what_can_never_be_written_holds_up_nothing_else() -> None:
    """A fault in a batch loses that batch, and is counted; what comes later is written."""

    async def scenario() -> None:
        store, tracker = tracking()
        store.failure = OverflowError("too large")
        tracker.see([noted(ALLOWED)])
        await tracker.write()
        store.failure = None
        tracker.see([noted(ALLOWED)])
        await tracker.write()
        assert tracker.writes == {"ok": 1, "failed": 1}
        assert [numbers[0] for numbers in (await kept(store, selection(MINUTE))).values()] == [1]

    asyncio.run(scenario())


def test_a_word_says_whose_request_it_was() -> None:
    """Whatever characters names have; one that would be too long to be carried is left out."""
    odd = record(key_id="AAAAbbbb0001", user_id="u~1", tier="é")
    told = word.encode(odd, 'r "{}')
    assert told.isascii()
    assert word.decode(told.removeprefix(word.MARK)) == Place("AAAAbbbb0001", "u~1", "é", 'r "{}')
    assert word.encode(odd, "r" * 400) == ""
