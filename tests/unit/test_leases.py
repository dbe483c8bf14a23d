"""Leases of requests: all slots or none, ended once, by whichever name the proxy knows."""

from __future__ import annotations

import pytest

from extauth.throttle.memory import REMEMBERED_US, SWEPT_AT_ONCE, Candidate, Ended, MemoryLeases
from extauth.throttle.slots import Blocked, Concurrency, Place

LIMIT = Concurrency(most=1, lease_us=1_000, queue=2, wait_us=100)
KEY = Place("key:a:concurrency", LIMIT)
ROUTE = Place("route:exports:concurrency", LIMIT)


def candidate(name: str) -> Candidate:
    """Return somebody who asks for the lease of this name."""
    return Candidate(name, "a", f"request-of-{name}")


def test_all_slots_are_taken_or_none() -> None:
    """A request that one limit has no slot for takes none of the others."""
    leases = MemoryLeases()
    assert leases.take(candidate("L1"), [ROUTE], 0) is None
    assert leases.take(candidate("L2"), [KEY, ROUTE], 0) == Blocked(ROUTE, waits=True)
    assert leases.in_flight(KEY.bucket, 0) == 0
    assert leases.take(candidate("L3"), [KEY], 0) is None


@pytest.mark.parametrize("lease", ["L1", ""])
def test_a_lease_ends_by_its_name_or_by_its_request(lease: str) -> None:
    """The end of a request frees its slots once, whichever of its names is reported."""
    leases = MemoryLeases()
    leases.take(candidate("L1"), [KEY, ROUTE], 0)
    assert leases.end("request-of-L1", lease, 7) == Ended([0], [KEY, ROUTE])
    assert leases.end("request-of-L1", lease, 7) == Ended([], [])
    assert leases.end("request-of-L1", "", 7) == Ended([], [])
    assert leases.in_flight(KEY.bucket, 0) == leases.in_flight(ROUTE.bucket, 0) == 0


def test_two_leases_of_one_request_end_apart() -> None:
    """A proxy that asks twice about one request, as after a redirect, ends each lease for itself."""
    leases = MemoryLeases()
    other = Place("key:b:concurrency", LIMIT)
    leases.take(Candidate("L1", "a", "r"), [KEY], 0)
    leases.take(Candidate("L2", "b", "r"), [other], 0)
    assert leases.end("r", "L1", 0).freed == [KEY]
    assert leases.in_flight(other.bucket, 0) == 1
    assert leases.end("r", "", 0).freed == [other]


def test_whoever_waits_is_called_when_a_slot_is_free() -> None:
    """The end of one request calls the first that waits; the next one stays."""
    leases = MemoryLeases()
    leases.take(candidate("L1"), [KEY], 0)
    for name in ("L2", "L3"):
        leases.take(candidate(name), [KEY], 0)
    assert leases.called(KEY, 0) == []
    leases.end("request-of-L1", "", 0)
    assert leases.called(KEY, 0) == ["L2"]
    assert leases.take(candidate("L3"), [KEY], 0) == Blocked(KEY, waits=True)
    leases.give_up("L2", [KEY])
    assert leases.take(candidate("L3"), [KEY], 0) is None


def test_a_lease_whose_end_nobody_reports_ends_by_itself() -> None:
    """A lost signal costs a slot until the lease expires, and is counted; progress makes it last longer."""
    leases = MemoryLeases()
    leases.take(candidate("L1"), [KEY], 0)
    leases.renew("request-of-L1", "", 500)
    assert leases.sweep(1_499) == 0
    assert leases.in_flight(KEY.bucket, 1_499) == 1
    assert leases.in_flight(KEY.bucket, 1_500) == 0
    assert leases.sweep(1_500) == 1
    assert leases.end("request-of-L1", "L1", 1_500) == Ended([], [])


def test_an_end_that_comes_before_the_check_is_remembered_for_a_while() -> None:
    """Nobody would report it again, so the check gets no slot; later the id is one like any other."""
    leases = MemoryLeases()
    leases.end("request-of-L1", "", 0)
    refused = Blocked(KEY, waits=False)
    assert leases.take(candidate("L1"), [KEY, ROUTE], REMEMBERED_US - 1) == refused
    assert leases.take(candidate("L2"), [KEY], REMEMBERED_US - 1) is None
    assert leases.take(candidate("L1"), [ROUTE], REMEMBERED_US) is None


def test_only_so_many_early_ends_are_remembered() -> None:
    """Proxies that report requests without leases fill no memory, and the sweep forgets what is over."""
    leases = MemoryLeases()
    for number in range(100_100):
        leases.end(f"r-{number}", "", number)
    assert len(leases._early) == 100_000
    leases.sweep(REMEMBERED_US + 100_099)
    assert not leases._early


def test_a_sweep_of_many_lets_others_have_their_turn() -> None:
    """However many ended by themselves, in one limit or in as many: no part takes long, none is left out."""
    leases, many = MemoryLeases(), 3 * SWEPT_AT_ONCE
    roomy = LIMIT._replace(most=many)
    shared = Place("all", roomy)
    for number in range(many):
        places = [shared, Place(f"key:{number}:concurrency", LIMIT)]
        assert leases.take(candidate(f"L{number}"), places, 0) is None
    parts = leases.sweep_in_parts(1_000)
    ended = 0
    for number, part in enumerate(parts):
        ended += part
        assert part <= SWEPT_AT_ONCE
        # Whoever comes in between has a slot, and keeps it.
        assert leases.take(candidate(f"later-{number}"), [shared], 1_000) is None
    assert (ended, len(leases)) == (many, number + 1)
    assert leases.in_flight("all", 1_000) == number + 1
    assert list(leases._slots) == ["all"]


def test_a_name_that_was_reported_costs_the_sweep_nothing_more() -> None:
    """What ended in time is passed over, and hides nothing that comes behind it."""
    leases, many = MemoryLeases(), 2 * SWEPT_AT_ONCE
    place = Place("all", LIMIT._replace(most=many + 1))
    for number in range(many):
        leases.take(candidate(f"L{number}"), [place], 0)
    leases.take(candidate("unreported"), [place], 1)
    for number in range(many):
        leases.end("", f"L{number}", 2)
    assert leases.sweep(1_001) == 1
    assert len(leases) == 0


def test_leases_outlive_their_process() -> None:
    """Held as before until they are reported by either name: neither lost nor doubled."""
    first, second = MemoryLeases(), MemoryLeases()
    first.take(candidate("L1"), [KEY, ROUTE], 0)
    second.restore(first.held(7), 7)
    assert second.held(7) == first.held(7)
    assert second.take(candidate("L2"), [ROUTE], 8) == Blocked(ROUTE, waits=True)
    assert second.end("request-of-L1", "", 9) == Ended([0], [KEY, ROUTE])
    assert second.take(candidate("L2"), [ROUTE], 10) is None
    assert [kept.name for kept in second.held(10)] == ["L2"]


def test_a_lease_that_ended_before_the_next_start_holds_nothing() -> None:
    """It is forgotten as one whose end nobody reported."""
    first, second = MemoryLeases(), MemoryLeases()
    first.take(candidate("L1"), [KEY], 0)
    kept = first.held(999)
    assert first.held(1_000) == []
    second.restore(kept, 1_000)
    assert second.take(candidate("L2"), [KEY], 1_000) is None
    assert second.sweep(1_000) == 1
    assert len(second) == 1


def test_a_clock_that_was_set_back_makes_no_lease_last_longer() -> None:
    """What another process took later than it is now ends as if it were taken at the start."""
    first, second = MemoryLeases(), MemoryLeases()
    first.take(candidate("L1"), [KEY], 3_600_000_000)
    second.restore(first.held(3_600_000_000), 5)
    assert second.in_flight(KEY.bucket, 1_004) == 1
    assert second.in_flight(KEY.bucket, 1_005) == 0


def test_an_early_end_that_is_told_again_is_the_last_to_be_forgotten() -> None:
    """The sweep looks at the oldest first, and leaves nothing that is over behind it."""
    leases = MemoryLeases()
    leases.end("again", "", 0)
    leases.end("once", "", 1)
    leases.end("again", "", 2)
    leases.sweep(REMEMBERED_US + 1)
    assert list(leases._early) == ["again"]
