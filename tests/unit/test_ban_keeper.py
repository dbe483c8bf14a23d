"""Bans are the same on all servers that share a store, and checks never wait for that."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
import structlog

from extauth.abuse.keeper import BanKeeper
from extauth.abuse.monitor import AbuseMonitor
from extauth.abuse.service import BanService
from extauth.errors import StoreError
from extauth.settings.model import AbuseSettings
from extauth.stores.bans import Ban, BanList, Origin
from tests.banning import ABUSE, ELSEWHERE, HERE
from tests.fakes import FakeClock, MemoryKeyStore
from tests.managing import BY

GONE = StoreError("gone")
SUBJECT = f"ip:{HERE}"


class Server:
    """What one process knows of bans."""

    def __init__(self, store: MemoryKeyStore, clock: FakeClock) -> None:
        self._clock = clock
        self.monitor = AbuseMonitor(AbuseSettings.model_validate(ABUSE).to_rules())
        self.keeper = BanKeeper(store, self.monitor, clock)

    def fail(self, times: int = 5, address: str = HERE) -> None:
        """Send keys that are no good."""
        for _ in range(times):
            self.monitor.failed(address, "malformed", self._clock.now_us())

    def refuses(self, address: str = HERE) -> Ban | None:
        """Return the ban of an address."""
        return self.monitor.of_address(address, self._clock.now_us())


class Servers:
    """Two servers on one store, and what operators do there."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = MemoryKeyStore()
        self.here, self.there = Server(self.store, self.clock), Server(self.store, self.clock)
        self.operators = BanService(self.store, self.clock)

    async def look(self) -> None:
        """Let both look, the first one first."""
        await self.here.keeper.look()
        await self.there.keeper.look()


def with_servers(scenario: Callable[[Servers], Awaitable[None]]) -> list[dict[str, object]]:
    """Run a scenario; return what was logged about bans, without what differs by test."""

    async def run() -> None:
        await scenario(Servers())

    with structlog.testing.capture_logs() as lines:
        asyncio.run(run())
    return [{**line} for line in lines]


def told(lines: list[dict[str, object]]) -> list[object]:
    """Return the names of the events."""
    return [line["event"] for line in lines]


def test_a_ban_that_begins_on_one_server_holds_on_all() -> None:
    """At once where it began; it is told of once, and its end too."""

    async def scenario(it: Servers) -> None:
        it.here.fail()
        assert it.here.refuses() is not None
        assert it.store.calls.total() == 0
        await it.look()
        assert it.there.refuses() == it.here.refuses()
        it.clock.advance(seconds=60)
        assert it.there.refuses() is None
        await it.look()
        assert it.here.monitor.in_force == it.there.monitor.in_force == {}

    lines = with_servers(scenario)
    assert told(lines) == ["ban_began", "ban_ended"]
    assert lines[0] == {
        "event": "ban_began",
        "log_level": "warning",
        "subject": SUBJECT,
        "origin": "automatic",
        "reason": "",
        "actor": "",
        "seconds": 60,
    }


def test_the_next_ban_is_longer_wherever_it_begins() -> None:
    """Nobody escapes by going to another server."""

    async def scenario(it: Servers) -> None:
        lasted = []
        for server in (it.here, it.there, it.here, it.there):
            server.fail()
            await it.look()
            await it.look()
            ban = server.refuses()
            assert ban is not None
            lasted.append((ban.ends_us - ban.began_us) // 60_000_000)
            it.clock.advance(seconds=60 * lasted[-1])
            await it.look()
        assert lasted == [1, 2, 4, 4]

    with_servers(scenario)


def test_a_restart_forgets_no_ban() -> None:
    """It holds from the first look of the new process on, and what follows is longer."""

    async def scenario(it: Servers) -> None:
        it.here.fail()
        await it.here.keeper.close()
        anew = Server(it.store, it.clock)
        await anew.keeper.look()
        assert anew.refuses() == it.here.refuses()
        it.clock.advance(seconds=60)
        anew.fail()
        ban = anew.refuses()
        assert ban is not None
        assert ban.ends_us - ban.began_us == 120_000_000

    with_servers(scenario)


def test_an_operators_ban_and_its_lifting_are_noticed_by_all() -> None:
    """With one look; each server tells what it took over. Failures begin at nought."""

    async def scenario(it: Servers) -> None:
        await it.operators.add(HERE, timedelta(minutes=10), BY, reason="tested")
        assert it.here.refuses() is None
        await it.look()
        ban = it.here.refuses()
        assert ban is not None
        assert ban == it.there.refuses()
        assert (ban.origin, ban.reason, ban.actor) == (Origin.MANUAL, "tested", "tests")
        assert await it.operators.lift(SUBJECT, BY) == ban
        await it.look()
        assert it.here.refuses() is it.there.refuses() is None

    lines = with_servers(scenario)
    assert told(lines) == ["ban_began", "ban_began", "ban_lifted", "ban_lifted"]
    assert {line["reason"] for line in lines} == {"tested"}


def test_a_ban_that_began_by_itself_can_be_lifted() -> None:
    """Then the whole budget is there again, and the next ban is a first one."""

    async def scenario(it: Servers) -> None:
        for server in (it.here, it.there):
            server.fail()
            await it.look()
            lifted = await it.operators.lift(HERE, BY)
            assert lifted is not None
            await it.look()
            assert it.here.refuses() is it.there.refuses() is None
            server.fail(4)
            assert server.refuses() is None
            server.fail(1)
            ban = server.refuses()
            assert ban is not None
            assert ban.ends_us - ban.began_us == 60_000_000
            await it.look()
            await it.operators.lift(HERE, BY)
            await it.look()

    assert told(with_servers(scenario)).count("ban_lifted") == 4


class SlowStore(MemoryKeyStore):
    """A store that has read its bans, and lets something happen before it hands them over."""

    meanwhile: Callable[[], None] = staticmethod(lambda: None)

    async def bans(self, known: str = "") -> BanList | None:
        """Return all bans. See `KeyStore`."""
        found = await super().bans(known)
        self.meanwhile()
        return found


@pytest.mark.parametrize(
    ("origin", "lasts_minutes", "holds"),
    [
        (None, 0, Origin.AUTOMATIC),
        (Origin.AUTOMATIC, 0.5, Origin.AUTOMATIC),
        (Origin.MANUAL, 0.5, Origin.MANUAL),
    ],
)
def test_a_ban_that_begins_while_the_list_is_read_is_not_lost(
    origin: Origin | None, lasts_minutes: float, holds: Origin
) -> None:
    """It is not among what was read; a shorter one there yields to it, an operator's doesn't."""

    async def scenario() -> None:
        clock, store = FakeClock(), SlowStore()
        server = Server(store, clock)
        other = Ban("ip:198.51.100.9", Origin.AUTOMATIC, clock.now_us(), clock.now_us() + 9)
        there = Ban(SUBJECT, origin or Origin.AUTOMATIC, clock.now_us(), 0)
        there = there._replace(ends_us=clock.now_us() + int(lasts_minutes * 60_000_000))
        store._bans = {ban.subject: ban for ban in (other, there) if origin or ban is other}
        store.meanwhile = server.fail
        await server.keeper.look()
        ban = server.refuses()
        assert ban is not None
        assert ban.origin is holds
        assert ban.ends_us - ban.began_us == (30_000_000 if holds is Origin.MANUAL else 60_000_000)

    asyncio.run(scenario())


def test_a_dead_store_costs_no_ban() -> None:
    """Those that hold go on, those that begin hold here, and are written when it is back; it is told once."""

    async def scenario(it: Servers) -> None:
        await it.operators.add(ELSEWHERE, timedelta(minutes=10), BY)
        await it.look()
        it.store.failure = GONE
        it.here.fail()
        for _ in range(3):
            await it.look()
        assert it.here.refuses() is not None
        assert it.here.refuses(ELSEWHERE) is not None
        assert it.there.refuses() is None
        it.store.failure = None
        await it.look()
        assert it.there.refuses() == it.here.refuses()
        it.store.failure = GONE
        it.clock.advance(seconds=600)
        await it.look()
        assert it.here.monitor.in_force == {}

    lines = [line for line in with_servers(scenario) if line["event"] == "bans_not_shared"]
    assert [line["problem"] for line in lines] == ["gone"] * 4


def test_bans_of_a_dead_store_that_are_over_are_not_written() -> None:
    """Nothing piles up while it is gone."""

    async def scenario(it: Servers) -> None:
        it.store.failure = GONE
        it.here.fail()
        await it.look()
        it.clock.advance(seconds=61)
        await it.look()
        it.store.failure = None
        await it.look()
        found = await it.store.bans()
        assert found is not None
        assert found.bans == ()
        assert it.store.calls["note_bans"] == 1

    with_servers(scenario)


def test_the_list_is_not_read_again_while_nothing_changes() -> None:
    """And nobody asks for more than that, four times a second."""

    async def scenario(it: Servers) -> None:
        await it.look()
        it.store.calls.clear()
        for _ in range(10):
            await it.look()
        assert it.store.calls == {"bans": 20}

    with_servers(scenario)


def test_who_fails_most_is_told_now_and_then_and_added_up() -> None:
    """Once in five seconds of each server; who says nothing any more is forgotten."""

    async def scenario(it: Servers) -> None:
        it.here.fail(3)
        it.there.fail(2)
        it.there.fail(4, ELSEWHERE)
        for _ in range(4):
            await it.look()
        assert it.store.calls["note_offenders"] == 2
        worst = await it.operators.offenders(9)
        assert [(one.subject, one.failures) for one in worst] == [(SUBJECT, 5), (f"ip:{ELSEWHERE}", 4)]
        assert await it.operators.offenders(1) == worst[:1]
        it.there.fail(1)
        it.clock.advance(seconds=5)
        await it.look()
        assert (await it.operators.offenders(1))[0].failures == 6
        it.clock.advance(seconds=59)
        await it.here.keeper.look()
        it.clock.advance(seconds=2)
        assert [one.failures for one in await it.operators.offenders(9)] == [3]
        it.clock.advance(seconds=3_600)
        await it.look()
        await it.look()
        assert await it.operators.offenders(9) == []

    with_servers(scenario)
