"""Pages that keep themselves up to date: what they are sent, when that ends, and how many there may be."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from extauth.dashboard import events
from extauth.dashboard.events import Hub
from extauth.errors import StoreError
from tests.dashboard.visit import ANSWERED_WITHIN, API, Browser, Site, problem, with_site

END = {"event": "end", "data": {}}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look more often: nothing here waits for a time, but for what is sent."""
    monkeypatch.setattr(events, "EVERY_SECONDS", 0.02)


class Stream:
    """What one page is sent."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self._lines = answer.aiter_lines()

    async def next(self) -> dict[str, Any]:
        """Return the next event, whatever comments stand before it; a fault where there is none any more."""
        event: dict[str, Any] = {}
        async with asyncio.timeout(ANSWERED_WITHIN):
            async for line in self._lines:
                name, _, value = line.partition(": ")
                if name in {"event", "data"}:
                    event[name] = json.loads(value) if name == "data" else value
                elif not line and event:
                    return event
        raise EOFError

    async def until(self, fits: Callable[[Any], bool]) -> Any:
        """Return the data of the next event that fits."""
        while True:
            event = await self.next()
            assert event != END, "the stream has ended"
            if fits(event["data"]):
                return event["data"]

    async def end(self) -> None:
        """Hold that it ends, and says so."""
        while await self.next() != END:
            pass
        with pytest.raises(EOFError):
            await self.next()


@asynccontextmanager
async def watching(browser: Browser, topic: str) -> AsyncIterator[Stream]:
    """Open a stream."""
    async with browser.client.stream("GET", f"{API}/events?topic={topic}") as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        yield Stream(answer)


async def emptied(hub: Hub, streams: int = 0) -> None:
    """Wait until nobody watches anything, and nothing is looked at; or no more than so much."""
    async with asyncio.timeout(ANSWERED_WITHIN):
        while hub.streams > streams or hub.topics > streams:  # noqa: ASYNC110 - nobody is told
            await asyncio.sleep(0.01)


def test_a_page_learns_what_changes(tmp_path: Path) -> None:
    """A spent limit, and a key that is new: without being asked again."""

    async def scenario(site: Site) -> None:
        key = await site.key("alice")
        browser = await site.browser()
        await browser.sign_in(key)
        async with watching(browser, "me") as mine, watching(browser, f"key:{browser.own_id}") as one:
            await mine.until(lambda page: page["keys"][0]["limits"]["limits"][0]["remaining"] == 2)
            await site.world.ask(key=key)
            await mine.until(lambda page: page["keys"][0]["limits"]["limits"][0]["remaining"] == 1)
            await one.until(lambda page: page["limits"]["limits"][0]["remaining"] == 1)
            await browser.ask("POST", "/me/keys", json={"name": "another"})
            await mine.until(lambda page: len(page["keys"]) == 2)

    with_site(tmp_path, scenario, tiers={"default": {"rates": ["1/hour burst 2"]}})


def test_operators_watch_everything(tmp_path: Path) -> None:
    """Bans and checks a second, and any key; with what their scopes hide left out."""

    async def scenario(site: Site) -> None:
        alice, operator = await site.consumer(), await site.operator()
        reader = await site.operator("extauth:usage:read")
        async with watching(operator, "overview") as all_of_it, watching(reader, "overview") as some:
            await all_of_it.until(lambda page: page["bans"] == 0)
            body = {"subject": "user:mallory", "lasts": "1h"}
            await operator.ask("POST", "/admin/bans", json=body)
            page = await all_of_it.until(lambda page: page["bans"] == 1)
            assert page["health"]["ready"]
            page = await some.until(lambda _: True)
            assert (page["bans"], page["hour"]["step"]) == (None, "1m")
            topic = f"key:{alice.own_id}"
            keeper = await site.operator("extauth:keys:read")
            async with watching(operator, topic) as one, watching(keeper, topic) as less:
                page = await one.until(lambda page: page["limits"]["key_id"] == alice.own_id)
                assert (page["hour"]["step"], page["refusals"]) == ("1m", [])
                page = await less.until(lambda page: page["limits"]["key_id"] == alice.own_id)
                assert (page["hour"], page["refusals"]) == (None, None)

    with_site(tmp_path, scenario)


def test_all_who_watch_the_same_share_one_look(tmp_path: Path) -> None:
    """And nothing is looked at for nobody."""

    async def scenario(site: Site) -> None:
        hub, operators = site.world.app.dashboard.hub, [await site.operator() for _ in range(3)]
        async with (
            watching(operators[0], "overview") as first,
            watching(operators[1], "overview") as second,
            watching(operators[2], "overview") as third,
        ):
            for stream in (first, second, third):
                await stream.next()
            assert (hub.streams, hub.topics) == (3, 1)
        await emptied(hub)

    with_site(tmp_path, scenario)


def test_a_stream_ends_with_its_session(tmp_path: Path) -> None:
    """Signed out, the key revoked, the scope taken away, or idle for too long; and says that it has ended."""

    async def sign_out(browser: Browser, _site: Site) -> None:
        await browser.ask("DELETE", "/session")

    async def revoke(browser: Browser, _site: Site) -> None:
        await browser.ask("POST", f"/me/keys/{browser.own_id}/revoke")

    async def demote(browser: Browser, site: Site) -> None:
        body = {"scopes": ["orders:read"]}
        operator = await site.operator()
        assert (await operator.ask("PATCH", f"/admin/keys/{browser.own_id}", json=body)).status_code == 200

    async def wait(_browser: Browser, site: Site) -> None:
        site.clock.advance(seconds=900)

    async def scenario(site: Site) -> None:
        for end in (sign_out, revoke, demote, wait):
            browser = await site.operator()
            async with watching(browser, "overview") as stream:
                await stream.next()
                await end(browser, site)
                await stream.end()
        await emptied(site.world.app.dashboard.hub)

    with_site(tmp_path, scenario)


def test_watching_keeps_no_session_alive(tmp_path: Path) -> None:
    """Else nobody who leaves a page open would ever be idle."""

    async def scenario(site: Site) -> None:
        browser = await site.consumer()
        site.clock.advance(seconds=600)
        async with watching(browser, "me") as stream:
            await stream.next()
            assert "set-cookie" not in stream.answer.headers
        site.clock.advance(seconds=300)
        problem(await browser.ask("GET", "/session"), 401, "no_session")

    with_site(tmp_path, scenario)


def test_there_is_a_bound_on_streams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one session, of one user, and of all together; whoever leaves makes room."""
    monkeypatch.setattr(events, "MOST_OF_SESSION", 2)
    monkeypatch.setattr(events, "MOST_OF_USER", 3)
    monkeypatch.setattr(events, "MOST_STREAMS", 4)

    async def refused(browser: Browser) -> None:
        answer = await browser.ask("GET", "/events?topic=me")
        problem(answer, 429, "too_many_streams")
        assert int(answer.headers["retry-after"]) > 0

    async def scenario(site: Site) -> None:
        alice, again, bob = [await site.consumer(user) for user in ("alice", "alice", "bob")]
        async with watching(alice, "me"):
            async with watching(alice, "me"):
                await refused(alice)
                async with watching(again, "me"):
                    await refused(again)
                    async with watching(bob, "me"):
                        await refused(bob)
            await emptied(site.world.app.dashboard.hub, 1)
            async with watching(alice, "me") as stream:
                await stream.next()
        await emptied(site.world.app.dashboard.hub)

    with_site(tmp_path, scenario)


def test_a_server_that_stops_ends_its_streams(tmp_path: Path) -> None:
    """At once: it waits for all answers, and these would never be over."""

    async def scenario(site: Site) -> None:
        browser = await site.consumer()
        async with watching(browser, "me") as stream:
            await stream.next()
            site.world.app.dashboard.close()
            await stream.end()

    with_site(tmp_path, scenario)


def test_a_store_that_fails_ends_no_stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages keep what they have, and go on when it works again."""

    async def scenario(site: Site) -> None:
        browser, store = await site.consumer(), site.world.app.parts.management.store
        async with watching(browser, "me") as stream:
            await stream.next()
            with monkeypatch.context() as broken:
                failures = asyncio.Semaphore(0)

                async def fail(*_: object, **__: object) -> None:
                    failures.release()
                    raise StoreError("gone")

                broken.setattr(store, "list", fail)
                broken.setattr(store, "claimed", fail)
                async with asyncio.timeout(ANSWERED_WITHIN):
                    for _ in range(5):
                        await failures.acquire()
            await browser.ask("POST", "/me/keys", json={"name": "another"})
            await stream.until(lambda page: len(page["keys"]) == 2)
        # Once for all looks that failed.
        assert len(await site.events("events_not_read")) == 1

    with_site(tmp_path, scenario)


@pytest.mark.parametrize("topic", ["", "everything", "key:", "key:a b", "user:alice", "me2"])
def test_there_are_no_other_topics(tmp_path: Path, topic: str) -> None:
    """Neither for consumers nor for operators."""

    async def scenario(site: Site) -> None:
        answer = await (await site.operator()).ask("GET", "/events", params={"topic": topic})
        problem(answer, 400, "invalid_query")

    with_site(tmp_path, scenario)


def test_nobody_watches_without_a_session(tmp_path: Path) -> None:
    """401; and a request for the head alone is answered at once."""

    async def scenario(site: Site) -> None:
        problem(await (await site.browser()).ask("GET", "/events?topic=me"), 401, "no_session")
        answer = await (await site.consumer()).ask("HEAD", "/events?topic=me")
        assert (answer.status_code, answer.content) == (200, b"")

    with_site(tmp_path, scenario)
