"""What every store keeps for processes that may die: each page counts once, as a batch or taken over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import orjson

from extauth.stores.usage import HOUR, MINUTE, Counts, Group, Kind, Page, Place, Sheet, UsageStore, minute_of
from tests.usage import NOON, PLACE, batch, counts, kept, selection

from .conftest import RunUsage

ODD = Place("k2", 'u%{}"|1', 'ti"er', 'ro[u]te {x} é "')


def page(index: int, *told: tuple[Place, Counts], minute: int = NOON) -> Page:
    """Return a page."""
    return Page(f"{minute}.1.{index}", Sheet([place for place, _ in told]), counts_of(*told))


def counts_of(*told: tuple[Place, Counts]) -> bytes:
    """Return counts as a page has them."""
    return orjson.dumps([numbers for _, numbers in told])


async def by_key(store: UsageStore) -> Mapping[tuple[str, int], Counts]:
    """Return what the store has of the tests' keys."""
    return await kept(store, selection(MINUTE, Kind.KEY, "k1", "k2", group=Group.NAME))


async def taken_over(store: UsageStore, process: str) -> int:
    """Add the journal of a process; return how many pages it had."""
    pages = await store.take_over(process, (await store.journals())[process])
    for name in pages:
        await store.fold(process, name)
    return len(pages)


def test_a_page_counts_once_its_process_is_taken_over(run_usage: RunUsage) -> None:
    """As it was noted last, in its minute, whatever names are in it; and once, however often it is added."""

    async def scenario(store: UsageStore) -> None:
        first = page(0, (PLACE, counts(1)))
        assert await store.note("p", 1, [first])
        first.places.append(ODD)
        first.told = counts_of((PLACE, counts(3, 1)), (ODD, counts(2, n5=2**52, n19=1)))
        assert await store.note("p", 2, [first, page(1, (PLACE, counts(8)), minute=NOON + 60)])
        assert await store.note("q", 1, [page(0, (PLACE, counts(100)))])
        assert (await by_key(store), await store.journals()) == ({}, {"p": 2, "q": 1})
        pages = await store.take_over("p", 2)
        assert sorted(map(minute_of, pages)) == [NOON, NOON + 60]
        for name in (*pages, *pages):
            await store.fold("p", name)
        assert await by_key(store) == {
            ("k1", 0): counts(3, 1),
            ("k2", 0): counts(2, n5=2**52, n19=1),
            ("k1", 60): counts(8),
        }
        assert (await kept(store, selection(HOUR)))["", 0] == counts(13, 1, n5=2**52, n19=1)
        assert await store.journals() == {"q": 1}

    run_usage(scenario)


def test_a_page_tells_nothing_of_places_where_nobody_was_counted(run_usage: RunUsage) -> None:
    """A page has the places of the minute before it: who did not come is not listed for that."""

    async def scenario(store: UsageStore) -> None:
        away = Place("away", "nobody", "free", "orders")
        reported = Place("k2", "u2", "free", "orders")
        both = page(0, (away, []), (PLACE, []), (reported, []))
        nothing, one, upstream = counts(0), counts(3), counts(0, n17=7, n18=1)
        both.told = orjson.dumps([*nothing, *one, *upstream])
        await store.note("p", 1, [both])
        await store.fold("p", both.name, 2)
        for kind, name in ((Kind.KEY, "away"), (Kind.USER, "nobody")):
            asked = selection(MINUTE, kind, name)
            assert not await kept(store, asked)
            assert name not in {place.name for place in await store.top(asked)}
        found = await kept(store, selection(MINUTE, Kind.KEY, "k1", "k2", group=Group.NAME))
        assert found == {("k1", 0): one, ("k2", 0): upstream}

    run_usage(scenario)


def test_a_batch_takes_the_place_of_its_page(run_usage: RunUsage) -> None:
    """And of no other: what is left in the journal counts when it is taken over."""

    async def scenario(store: UsageStore) -> None:
        pages = [page(index, (PLACE, counts(10**index))) for index in range(3)]
        await store.note("p", 1, pages)
        first = replace(batch(2, (PLACE, counts(5))), page=pages[0].name)
        for again in (first, first):
            assert await store.add(again)
        assert await store.add(replace(batch(3, (PLACE, counts(7))), page=pages[1].name))
        assert await store.journals() == {"p": 3}
        assert await taken_over(store, "p") == 1
        assert await by_key(store) == {("k1", 0): counts(112)}
        assert await store.journals() == {}

    run_usage(scenario)


def test_a_process_adds_its_own_pages_as_they_are(run_usage: RunUsage) -> None:
    """Once, also where it does not know whether it did; and none that was taken over meanwhile."""

    async def scenario(store: UsageStore) -> None:
        pages = [page(index, (PLACE, counts(10**index))) for index in range(3)]
        await store.note("p", 1, pages)
        for number in (2, 2, 3):
            await store.fold("p", pages[0].name, number)
        assert (await by_key(store), await store.journals()) == ({("k1", 0): counts(1)}, {"p": 3})
        await store.fold("p", pages[1].name, 2)
        assert await by_key(store) == {("k1", 0): counts(1)}
        left = await store.take_over("p", 3)
        await store.fold("p", pages[1].name, 4)
        assert await by_key(store) == {("k1", 0): counts(1)}
        for name in left:
            await store.fold("p", name)
        assert await by_key(store) == {("k1", 0): counts(111)}
        assert await store.journals() == {}

    run_usage(scenario)


def test_all_pages_are_gone_with_their_batches(run_usage: RunUsage) -> None:
    """Nobody looks at a journal in which nothing is; what comes late, or twice, is in none."""

    async def scenario(store: UsageStore) -> None:
        only = page(0, (PLACE, counts(1)))
        await store.note("p", 1, [only])
        await store.add(replace(batch(2, (PLACE, counts(1))), page=only.name))
        assert await store.journals() == {}
        assert await store.note("p", 1, [only])
        assert await store.note("p", 2, [only])
        assert await store.journals() == {}
        assert await by_key(store) == {("k1", 0): counts(1)}

    run_usage(scenario)


def test_a_process_that_was_taken_over_writes_no_more(run_usage: RunUsage) -> None:
    """It is told so, but of what it had written before; and whoever takes it over may stop amid of it."""

    async def scenario(store: UsageStore) -> None:
        pages = [page(index, (PLACE, counts(1))) for index in range(2)]
        before = batch(1, (PLACE, counts(10)))
        await store.add(before)
        await store.note("p", 2, pages)
        assert not await store.take_over("p", 1)
        assert sorted(await store.take_over("p", 2)) == sorted(each.name for each in pages)
        await store.fold("p", pages[0].name)
        assert await store.add(before)
        assert await store.note("p", 2, pages)
        assert not await store.add(batch(3, (PLACE, counts(10))))
        assert not await store.add(replace(batch(4, (PLACE, counts(10))), page=pages[1].name))
        assert not await store.note("p", 5, pages)
        assert await store.journals() == {"p": 2}
        assert await taken_over(store, "p") == 1
        assert await by_key(store) == {("k1", 0): counts(12)}

    run_usage(scenario)


def test_nobody_takes_over_who_wrote_since(run_usage: RunUsage) -> None:
    """A batch or a page is a sign of life; one that takes no page's place, too."""

    async def scenario(store: UsageStore) -> None:
        await store.note("p", 1, [page(0, (PLACE, counts(1)))])
        await store.add(batch(2, (PLACE, counts(1))))
        assert await store.journals() == {"p": 2}
        assert not await store.take_over("p", 1)
        assert await store.note("p", 3, [page(0, (PLACE, counts(2)))])
        assert not await store.take_over("p", 2)
        assert await taken_over(store, "p") == 1
        assert await by_key(store) == {("k1", 0): counts(3)}

    run_usage(scenario)
