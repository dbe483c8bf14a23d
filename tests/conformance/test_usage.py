"""What every store keeps of usage; each test runs on every row."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from extauth.stores.usage import (
    DAY,
    DAY_SECONDS,
    HOUR,
    MINUTE,
    MOST_REFUSALS,
    OTHER,
    REFUSALS_KEPT_SECONDS,
    STEPS,
    WIDTH,
    Cell,
    Group,
    Kind,
    Page,
    Period,
    Place,
    Ranked,
    Sheet,
    UsageStore,
)
from tests.stores import USAGE_STORES
from tests.usage import NOON, PLACE, batch, counts, kept, selection

from .conftest import RunUsage


def test_counts_are_added_to_minute_hour_and_day(run_usage: RunUsage) -> None:
    """Each number at its place, also the last and one of 53 bits, under every step."""
    ones = counts(*range(1, WIDTH + 1))

    async def scenario(store: UsageStore) -> None:
        await store.add(batch(1, (PLACE, ones)))
        await store.add(batch(2, (PLACE, ones), minute=NOON + 60))
        await store.add(batch(3, (PLACE, counts(n5=2**52)), minute=NOON + 60))
        await store.add(batch(4, (PLACE, counts(n5=1)), minute=NOON + 60))
        twice = [2 * number for number in ones]
        twice[5] += 2**52 + 1
        large = counts(n5=2**52 + 1)
        second = [number + more for number, more in zip(ones, large, strict=True)]
        assert await kept(store, selection(MINUTE)) == {("", 0): ones, ("", 60): second}
        assert await kept(store, selection(HOUR)) == {("", 0): twice}
        assert await kept(store, selection(DAY)) == {("", -DAY_SECONDS // 2): twice}

    run_usage(scenario)


def test_zeros_at_the_end_may_be_left_out(run_usage: RunUsage) -> None:
    """In a batch, also of several places, and in a page; what was counted before stays as it is."""
    same = Place("k2", *PLACE[1:])
    page = Page(f"{NOON}.1.0", Sheet([PLACE, same]), b"[[16,0,1],[32]]")

    async def scenario(store: UsageStore) -> None:
        await store.add(batch(1, (PLACE, [1]), (same, [2, 0, 4])))
        await store.add(batch(2, (PLACE, counts(n19=1))))
        await store.add(batch(3, (PLACE, [8]), (same, counts(n18=2))))
        await store.note("p", 4, [page])
        await store.fold("p", page.name, 5)
        assert await kept(store, selection(MINUTE)) == {("", 0): counts(59, 0, 5, n18=2, n19=1)}
        by_key = await kept(store, selection(MINUTE, Kind.KEY, "k1", "k2", group=Group.NAME))
        assert by_key == {("k1", 0): counts(25, 0, 1, n19=1), ("k2", 0): counts(34, 0, 4, n18=2)}
        by_user = await kept(store, selection(MINUTE, Kind.USER, "u1", group=Group.NAME))
        assert by_user == {("u1", 0): counts(59, 0, 5, n18=2, n19=1)}

    run_usage(scenario)


def test_a_place_may_be_told_twice(run_usage: RunUsage) -> None:
    """In a batch and in a page: after a reload or a change of its record a key is counted at another one."""
    page = Page(f"{NOON}.1.0", Sheet([PLACE, PLACE]), b"[[16],[32]]")

    async def scenario(store: UsageStore) -> None:
        await store.add(batch(1, (PLACE, [1]), (PLACE, [2])))
        await store.add(batch(2, (PLACE, [4]), (PLACE, [8])))
        await store.note("p", 3, [page])
        await store.fold("p", page.name, 4)
        for kind, name in ((Kind.ALL, ""), (Kind.KEY, "k1"), (Kind.USER, "u1")):
            assert await kept(store, selection(MINUTE, kind, name)) == {("", 0): counts(63)}

    run_usage(scenario)


def test_a_batch_may_have_refusals_alone(run_usage: RunUsage) -> None:
    """Nothing is counted then, and they are kept."""

    async def scenario(store: UsageStore) -> None:
        assert await store.add(batch(1, refusals={"k1": ["{}"]}))
        assert await store.refusals("k1") == ["{}"]
        assert not await kept(store, selection(DAY))

    run_usage(scenario)


def test_counts_are_told_apart(run_usage: RunUsage) -> None:
    """By key, user, tier and route, whatever characters these have, and by any of them within another."""
    odd = Place("k2", 'u%{}"|1', 'ti"er', 'ro[u]te {x} é "')
    other = Place("k1", "u1", "free", "users")

    async def scenario(store: UsageStore) -> None:
        await store.add(batch(1, (PLACE, counts(1)), (odd, counts(2)), (other, counts(4))))
        await store.add(batch(2, (PLACE, counts(8)), minute=NOON + 3600))

        async def hours(kind: Kind, *names: str, group: Group, **asked: str) -> dict[tuple[str, int], int]:
            found = await kept(store, selection(HOUR, kind, *names, group=group, **asked))
            return {place: numbers[0] for place, numbers in found.items()}

        assert await hours(Kind.KEY, "k1", "k2", group=Group.NAME) == {
            ("k1", 0): 5,
            ("k1", 3600): 8,
            ("k2", 0): 2,
        }
        assert await hours(Kind.USER, odd.user_id, group=Group.NAME) == {(odd.user_id, 0): 2}
        assert await hours(Kind.ALL, "", group=Group.ROUTE) == {
            ("orders", 0): 1,
            ("orders", 3600): 8,
            ("users", 0): 4,
            (odd.route, 0): 2,
        }
        assert await hours(Kind.ALL, "", group=Group.TIER, route="users") == {("free", 0): 4}
        assert await hours(Kind.KEY, "k1", group=Group.ROUTE, tier=odd.tier) == {}
        assert await hours(Kind.KEY, "k3", group=Group.NAME) == {}

    run_usage(scenario)


def test_a_batch_that_comes_again_counts_once(run_usage: RunUsage) -> None:
    """Of the same process; another's has numbers of its own. Its refusals aren't kept twice either."""

    async def scenario(store: UsageStore) -> None:
        first = batch(7, (PLACE, counts(1)), refusals={"k1": ["{}"]})
        for again in (first, first, batch(6, (PLACE, counts(1))), replace(first, process="q")):
            await store.add(again)
        assert await kept(store, selection(DAY)) == {("", -DAY_SECONDS // 2): counts(2)}
        assert await store.refusals("k1") == ["{}", "{}"]
        await store.add(batch(8, (PLACE, counts(1))))
        assert await kept(store, selection(HOUR)) == {("", 0): counts(3)}

    run_usage(scenario)


def test_counts_of_several_processes_are_added_up(run_usage: RunUsage) -> None:
    """However they mix."""

    async def scenario(store: UsageStore) -> None:
        for number in range(1, 5):
            adding = (store.add(batch(number, (PLACE, counts(1, 2)), process=f"p{one}")) for one in range(5))
            await asyncio.gather(*adding)
        assert await kept(store, selection(MINUTE, Kind.KEY, "k1")) == {("", 0): counts(20, 40)}

    run_usage(scenario)


def test_a_period_tells_a_bounded_number_of_places_apart(run_usage: RunUsage) -> None:
    """Beyond it keys and users are `other`; the sum stays true, and a place that is known stays one."""
    known = [Place(f"k{number}", f"u{number}", "t", "r") for number in range(MINUTE.places)]
    beyond = [Place(f"n{number}", f"v{number}", "t", "r") for number in range(7)]

    async def scenario(store: UsageStore) -> None:
        for number in range(0, len(known), 500):
            part = known[number : number + 500]
            await store.add(batch(number + 1, *((place, counts(1)) for place in part)))
        more = [(place, counts(2)) for place in (*beyond, known[0])]
        await store.add(batch(10_000, *more))
        for kind, first, lost in ((Kind.KEY, "k0", "n0"), (Kind.USER, "u0", "v0")):
            found = await kept(store, selection(MINUTE, kind, first, lost, OTHER, group=Group.NAME))
            assert found == {(first, 0): counts(3), (OTHER, 0): counts(14)}
            assert (lost, 0) in await kept(store, selection(HOUR, kind, lost, group=Group.NAME)) or (
                HOUR.places == MINUTE.places
            )
        assert await kept(store, selection(MINUTE)) == {("", 0): counts(MINUTE.places + 16)}

    run_usage(scenario)


def test_others_have_tiers_and_routes(run_usage: RunUsage) -> None:
    """Beside what one batch has of places that are told apart; none where all of a tier's are."""
    known = [Place(f"k{number}", f"u{number}", "t", "r") for number in range(MINUTE.places - 2)]
    known.append(Place("k0", "u0", "paid", "r"))
    last, late = Place("last", "last", "t", "r"), Place("late", "late", "t", "r")
    batches = [known[number : number + 500] for number in range(0, len(known), 500)]

    async def scenario(store: UsageStore) -> None:
        for number, places in enumerate(batches):
            await store.add(batch(number + 1, *((place, counts(1)) for place in places)))
        mixed = [
            (known[0], counts(10)),
            (known[-1], counts(20)),
            (last, counts(30)),
            (late, counts(40, n5=7)),
        ]
        # A place has a tier: in another one, or for another route, a key that is known is at a new place.
        mixed += [(place, counts(50)) for place in (late._replace(tier="free"), known[0]._replace(route="s"))]
        await store.add(batch(len(batches) + 1, *mixed))
        for kind in (Kind.KEY, Kind.USER):
            others = await store.read(selection(MINUTE, kind, OTHER, group=Group.TIER))
            assert {one.group: one.counts for one in others} == {"t": counts(90, n5=7), "free": counts(50)}
            ranks = [one for one in await store.top(selection(MINUTE, kind)) if one.name == OTHER]
            assert sorted(ranks) == [
                Ranked(OTHER, "free", "r", 50),
                Ranked(OTHER, "t", "r", 40),
                Ranked(OTHER, "t", "s", 50),
            ]
            assert await kept(store, selection(MINUTE, kind, "last")) == {("", 0): counts(30)}

    run_usage(scenario)


def test_the_busiest_are_found(run_usage: RunUsage) -> None:
    """By period, with tier and route, which can be asked for."""
    quiet = Place("k2", "u2", "pro", "orders")

    async def scenario(store: UsageStore) -> None:
        await store.add(batch(1, (PLACE, counts(3, 1, 1, n5=99)), (quiet, counts(1))))
        await store.add(batch(2, (PLACE, counts(10)), minute=NOON + DAY_SECONDS - 60))
        found = await store.top(selection(HOUR, Kind.KEY))
        assert sorted(found) == [
            Ranked("k1", "free", "orders", 5),
            Ranked("k1", "free", "orders", 10),
            Ranked("k2", "pro", "orders", 1),
        ]
        assert await store.top(selection(DAY, Kind.USER, tier="pro")) == [Ranked("u2", "pro", "orders", 1)]
        assert await store.top(selection(DAY, Kind.USER, route="users")) == []

    run_usage(scenario)


def test_the_latest_refusals_are_kept(run_usage: RunUsage) -> None:
    """The newest first, so many as are promised, of each key by itself."""

    async def scenario(store: UsageStore) -> None:
        assert await store.refusals("k1") == []
        told = [f'{{"n":{number}}}' for number in range(MOST_REFUSALS + 5)]
        await store.add(batch(1, (PLACE, counts(1)), refusals={"k1": told[:30], "k2": ["{}"]}))
        await store.add(batch(2, (PLACE, counts(1)), refusals={"k1": told[30:]}))
        assert await store.refusals("k1") == told[:4:-1]
        assert await store.refusals("k2") == ["{}"]

    run_usage(scenario)


def test_what_is_old_goes(tmp_path: Path) -> None:
    """From the file, step by step; Redis lets go of it by itself, which the layout's test holds."""

    async def scenario() -> None:
        async with USAGE_STORES["sqlite"](tmp_path) as store:
            await store.add(batch(1, (PLACE, counts(1)), refusals={"k1": ["{}"]}))
            for number, step in enumerate(STEPS, 2):
                later = NOON + step.kept + step.span
                await store.add(batch(number, (PLACE, counts(2)), minute=later))
                for each in STEPS:
                    assert bool(await kept(store, selection(each))) == (each.kept > step.kept), step
            assert HOUR.kept > REFUSALS_KEPT_SECONDS
            assert await store.refusals("k1") == []

    asyncio.run(scenario())


def test_a_period_is_told_whole_and_taken_in_elsewhere(run_usage: RunUsage) -> None:
    """By name, tier, route and time; what is taken in is added to this period and its sum alone."""
    odd = Place("k2", 'u%{}"|1', 'ti"er', 'ro[u]te {x} é "')
    large = counts(3, n5=2**52 + 1)

    async def scenario(store: UsageStore) -> None:
        await store.add(batch(1, (PLACE, counts(1, 2)), (odd, large)))
        await store.add(batch(2, (PLACE, counts(8)), minute=NOON + 3600))
        today = HOUR.period(NOON)
        keys, users, everybody = (Period(HOUR, today, kind) for kind in (Kind.KEY, Kind.USER, Kind.ALL))
        assert sorted(await store.names(keys)) == ["k1", "k2"]
        assert sorted(await store.names(users)) == ['u%{}"|1', "u1"]
        assert list(await store.names(everybody)) == [""]
        assert list(await store.names(Period(HOUR, today - 1, Kind.KEY))) == []
        assert list(await store.names(Period(HOUR, today - 1, Kind.ALL))) == []
        first = Cell("k1", "free", "orders", NOON, counts(1, 2))
        assert sorted(map(told, await store.cells(keys, ["k1", "nobody"]))) == [
            first,
            Cell("k1", "free", "orders", NOON + 3600, counts(8)),
        ]
        assert [told(cell) for cell in await store.cells(users, [odd.user_id])] == [
            Cell(odd.user_id, odd.tier, odd.route, NOON, large)
        ]
        new = Cell("k9", "free", "orders", NOON, counts(5))
        assert await store.take_in(keys, [first, new], NOON) == 2
        assert await store.take_in(everybody, [first._replace(name="")], NOON) == 1
        assert [told(cell) for cell in await store.cells(keys, ["k9"])] == [new]
        assert (await kept(store, selection(HOUR, Kind.KEY, "k1")))["", 0] == counts(2, 4)
        assert (await kept(store, selection(HOUR)))["", 0] == [
            number + more for number, more in zip(large, counts(2, 4), strict=True)
        ]
        assert (await kept(store, selection(HOUR, tier="free")))["", 0] == counts(2, 4)
        assert (await kept(store, selection(MINUTE, Kind.KEY, "k1")))["", 0] == counts(1, 2)
        ranked = {found.name: found.requests for found in await store.top(selection(HOUR, Kind.KEY))}
        assert ranked == {"k1": 14, "k2": 3, "k9": 5}
        # Of what nobody asks for any more nothing is taken in.
        assert await store.take_in(keys, [first], keys.kept_until) == 0

    run_usage(scenario)


def told(cell: Cell) -> Cell:
    """Return a cell as all stores tell it."""
    return cell._replace(counts=list(cell.counts))


def test_what_a_period_has_no_room_for_is_not_taken_in(run_usage: RunUsage) -> None:
    """Else it would count to the others, and again each time it comes; what is known is added to."""
    minute = Period(MINUTE, MINUTE.period(NOON), Kind.KEY)
    known = [Place(f"k{number}", "u", "t", "r") for number in range(MINUTE.places)]

    async def scenario(store: UsageStore) -> None:
        for number in range(0, len(known), 500):
            part = known[number : number + 500]
            await store.add(batch(number + 1, *((place, counts(1)) for place in part)))
        cells = [Cell(name, "t", "r", NOON, counts(2)) for name in ("k0", "new", OTHER)]
        assert await store.take_in(minute, cells, NOON) == 2
        found = await kept(store, selection(MINUTE, Kind.KEY, "k0", "new", OTHER, group=Group.NAME))
        assert found == {("k0", 0): counts(3), (OTHER, 0): counts(2)}

    run_usage(scenario)
