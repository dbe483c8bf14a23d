"""Other settings while a server runs: what changes, what waits, what stays, and that nothing is mixed."""

from __future__ import annotations

import asyncio
import gc
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from extauth.check import Asked, Checker
from extauth.compiled import dialects
from extauth.configured import configure
from extauth.dialects.base import Answer, RequestHead
from extauth.errors import ConfigError, StoreError
from extauth.limits.plan import Plan
from extauth.model import ApiKey, CheckRequest, Code, Decision
from extauth.reload import NEEDS_RESTART, TAKEN_OVER, change_to, needs_restart, put_in_force
from extauth.routes import Access, Route, RouteTable
from extauth.server.reloading import Reloader
from extauth.server.responder import Pending
from extauth.server.watching import ConfigWatch
from extauth.settings.model import Settings
from extauth.stores.base import KeyChanges, KeyStore
from extauth.stores.limits import OnTold, Told
from tests.answers import Reply, reply_of
from tests.checking import Rig
from tests.fakes import FakeClock
from tests.unit.test_docs_settings import FIELDS, PAGE
from tests.waiting import eventually
from tests.world import World, open_world, settings_in

PEPPER = "a pepper that is long enough for the settings"


def settings(**sections: Any) -> Settings:
    """Return settings."""
    return Settings.model_validate(sections)


@pytest.mark.parametrize("path", FIELDS)
def test_each_field_is_taken_over_or_needs_a_restart(path: str) -> None:
    """Nobody adds a setting without deciding which."""
    top = path.replace("[]", "").split(".NAME")[0]
    listed = [name for name in NEEDS_RESTART | TAKEN_OVER if top == name or top.startswith(f"{name}.")]
    assert len(listed) == 1


def test_the_page_lists_what_needs_a_restart() -> None:
    """Exactly that, field by field."""
    section = PAGE.split("## Reload\n", 1)[1].split("\n## ", 1)[0]
    rows = [line.split("|")[2] for line in section.splitlines() if line.startswith("| ")]
    assert set(re.findall(r"`([^`]+)`", " ".join(rows))) == NEEDS_RESTART


def test_what_differs_is_named_and_sorted() -> None:
    """By field, never by value; what needs a restart keeps its old value, all else is new."""
    old = settings(keys={"peppers": [PEPPER]})
    new = settings(
        keys={"peppers": [PEPPER[::-1]], "per_user": 3, "cache": {"records": 5}},
        listen={"check": "127.0.0.1:9100"},
        failure={"deadline": "1s", "share": 0.5},
        default_route="deny",
        log={"level": "error", "file": "/tmp/other"},
    )
    change = change_to(new, from_old=old)
    assert set(change.taken_over) == {"default_route", "failure.share", "keys.per_user", "log.level"}
    assert set(change.waiting) == {
        "listen.check",
        "keys.peppers",
        "keys.cache.records",
        "failure.deadline",
        "log.file",
    }
    mixed = change.settings
    assert (mixed.default_route, mixed.failure.share, mixed.keys.per_user) == ("deny", 0.5, 3)
    assert (mixed.listen, mixed.keys.peppers, mixed.keys.cache) == (
        old.listen,
        old.keys.peppers,
        old.keys.cache,
    )
    assert (mixed.failure.deadline, mixed.log.file) == (old.failure.deadline, None)
    assert PEPPER not in repr(change)


def test_equal_settings_differ_in_nothing() -> None:
    """A reload of the same changes nothing."""
    assert change_to(settings(), from_old=settings())[1:] == ((), ())
    assert not needs_restart("proxy.methods")


class Changing:
    """A world whose settings change."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        self._folder = folder

    def change(self, **sections: Any) -> None:
        """Put other settings in force."""
        app = self.world.app
        new = settings_in(self._folder, **sections)
        change = change_to(new, from_old=app.settings)
        put_in_force(app, configure(change.settings, app.parts))

    def begin(self, key: str, path: str = "/v1/x") -> Pending:
        """Begin a check that has to wait."""
        head = {b"host": b"h", b"x-request-id": b"r", b"x-api-key": key.encode()}
        began = self.world.app.responder.respond(RequestHead(b"GET", b"/envoy" + path.encode(), head))
        assert not isinstance(began, Answer)
        return began

    async def end(self, pending: Pending) -> Reply:
        """End it."""
        return reply_of(await self.world.app.responder.finish(pending))


def changing(folder: Path, scenario: Callable[[Changing], Any], **sections: Any) -> None:
    """Run a scenario in a world."""

    async def run() -> None:
        async with open_world(folder, **sections) as world:
            await scenario(Changing(world, folder))

    asyncio.run(run())


def test_routes_tiers_headers_and_words_change(tmp_path: Path) -> None:
    """From the next check on, for a key that is in every memory already."""

    async def scenario(it: Changing) -> None:
        key = (await it.world.create_key(scopes=("a:read",))).text
        before = await it.world.ask("/v1/x", key=key)
        assert (before.status, before.headers["x-ratelimit-limit"]) == (200, "200")
        it.change(
            routes=[{"path": "/v1/**", "scopes": ["b:read"]}],
            default_route="deny",
            tiers={"default": {"rates": ["5/second"]}},
            credentials={"realm": "elsewhere"},
            docs_url="https://docs.example.com",
        )
        refused = await it.world.ask("/v1/x", key=key)
        assert (refused.status, refused.code) == (403, "insufficient_scope")
        assert 'realm="elsewhere"' in refused.headers["www-authenticate"]
        assert refused.problem["type"].startswith("https://docs.example.com/problems/")
        assert (await it.world.ask("/other", key=key)).code == "route_denied"
        it.change(tiers={"default": {"rates": ["5/second"]}})
        assert (await it.world.ask("/v1/x", key=key)).headers["x-ratelimit-limit"] == "5"
        assert it.world.app.hasher.verifications == 1

    changing(tmp_path, scenario)


def test_where_keys_are_looked_for_changes_with_the_routes(tmp_path: Path) -> None:
    """Methods and the query too: a rule for a method would otherwise meet requests of others."""

    async def scenario(it: Changing) -> None:
        key = (await it.world.create_key()).text
        assert (await it.world.ask(f"/v1/x?api_key={key}")).status == 401
        it.change(credentials={"query_parameter": True}, proxy={"methods": ["GET"]})
        assert (await it.world.ask(f"/v1/x?api_key={key}")).status == 200
        assert (await it.world.ask("/v1/x", key=key, method="DELETE")).code == "ambiguous_path"

    changing(tmp_path, scenario)


def test_counts_stay_and_a_level_is_taken_over_in_proportion(tmp_path: Path) -> None:
    """Half of a bucket that was spent is half of another one; back again, it is what it was."""
    tiers = {"default": {"rates": ["60/minute burst 100"]}}

    async def scenario(it: Changing) -> None:
        key = (await it.world.create_key()).text
        replies = [await it.world.ask(key=key) for _ in range(50)]
        assert replies[-1].headers["x-ratelimit-remaining"] == "50"
        it.change(tiers={"default": {"rates": ["60/minute burst 1000"]}})
        assert (await it.world.ask(key=key)).headers["x-ratelimit-remaining"] == "499"
        it.change(tiers=tiers)
        assert (await it.world.ask(key=key)).headers["x-ratelimit-remaining"] == "48"
        # A route that comes, and changes nothing about the tier's limits, gives nothing back.
        it.change(tiers=tiers, routes=[{"path": "/v1/**"}], default_route="deny")
        assert (await it.world.ask("/v1/x", key=key)).headers["x-ratelimit-remaining"] == "47"

    changing(tmp_path, scenario, tiers=tiers, clock=FakeClock())


def test_a_refusal_that_was_remembered_is_not(tmp_path: Path) -> None:
    """A key that had spent its limit gets the room that a higher one gives it."""

    async def scenario(it: Changing) -> None:
        key = (await it.world.create_key()).text
        statuses = [(await it.world.ask(key=key)).status for _ in range(4)]
        assert statuses == [200, 200, 429, 429]
        it.change(tiers={"default": {"rates": ["2/hour burst 4", "100/day"]}})
        assert (await it.world.ask(key=key)).status == 429
        it.change(tiers={"default": {"rates": []}})
        assert (await it.world.ask(key=key)).status == 200

    changing(tmp_path, scenario, tiers={"default": {"rates": ["2/hour"]}}, clock=FakeClock())


def test_what_administers_keys_goes_by_them_too(tmp_path: Path) -> None:
    """Rules for keys, defaults of the admin API, and how long the audit log is kept."""

    async def scenario(it: Changing) -> None:
        app = it.world.app
        it.change(
            keys={"default_tier": "free", "per_user": 1, "default_grace": "1h"},
            tiers={"free": {"scopes": ["a:*"]}},
            audit={"retention": "1d"},
        )
        assert (app.keys.policy.keys_per_user, app.keys.policy.tier_scopes) == (1, {"free": ("a:*",)})
        assert app.admin._services.default_tier == "free"
        assert app.trimming.retention.days == 1
        assert app.settings.keys.per_user == 1

    changing(tmp_path, scenario)


def test_the_log_changes(tmp_path: Path) -> None:
    """Its level, for decisions and for all else, and how many allowed decisions get a line."""

    async def scenario(it: Changing) -> None:
        async def lines() -> int:
            return len([line for line in await it.world.logged() if line["event"] == "decision"])

        key = (await it.world.create_key()).text
        await it.world.ask(key=key)
        # Noted under the old level, and not yet written.
        it.change(log={"level": "error"})
        assert await lines() == 1
        await it.world.ask(key=key)
        await it.world.ask()
        assert await lines() == 1
        it.change(log={"allowed_sample": 0.0})
        await it.world.ask(key=key)
        await it.world.ask()
        assert await lines() == 2

    changing(tmp_path, scenario)


OLD: dict[str, Any] = {
    "tiers": {"default": {"rates": ["7/second"]}},
    "routes": [{"path": "/v1/**", "auth": "required"}],
}
NEW: dict[str, Any] = {
    "tiers": {"default": {"rates": ["9/second"]}},
    "routes": [{"path": "/v1/**", "name": "new", "cost": 9}],
    "credentials": {"realm": "new"},
}


def test_a_check_that_waits_for_its_key_ends_as_it_began(tmp_path: Path) -> None:
    """Routes, limits and words of the old settings, though its record is compiled after the change."""

    async def scenario(it: Changing) -> None:
        key = (await it.world.create_key()).text
        pending = it.begin(key)
        ended = asyncio.create_task(it.end(pending))
        await asyncio.sleep(0)
        it.change(**NEW)
        reply = await ended
        # Limit and remaining are those of one cost of the old limit; mixed it would be 0 of 9, or refused.
        assert reply.status == 200
        assert reply.headers["x-ratelimit-limit"] == "7"
        assert reply.headers["x-ratelimit-remaining"] == "6"
        after = await it.world.ask("/v1/x", key=key)
        assert after.headers.get("x-ratelimit-limit") == "9"

    changing(tmp_path, scenario, **OLD, clock=FakeClock())


class Stub:
    """A checker that has to ask a store, and says of each decision that it is its own."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.retired = False
        self.asked: list[OnTold] = []

    def decide(self, _request: CheckRequest, _now_us: int) -> Asked:
        """Ask."""
        return Asked(None, Route(name="r", access=Access.NONE), Plan(()))

    def ask(self, _asked: Asked, on_told: OnTold) -> None:
        """Keep whom to tell."""
        self.asked.append(on_told)

    def conclude(self, _asked: Asked, _told: Told, _now_us: int) -> Decision:
        """Decide."""
        return Decision(Code.INSUFFICIENT_SCOPE, needed_scopes=(self._name,))


def test_a_check_that_waits_for_the_store_ends_as_it_began() -> None:
    """Concluded and told by those who began it, though others have taken their places."""
    rig = Rig(credentials={"realm": "old"})
    old, new = Stub("old"), Stub("new")
    rig.responder._checker = cast("Checker", old)
    rig.responder._decide = cast("Any", old.decide)
    head = RequestHead(b"GET", b"/envoy/x", {b"host": b"h"})
    pending = rig.responder.respond(head)
    assert isinstance(pending, Pending)
    answers: list[Answer] = []
    rig.responder.begin(pending, answers.append)
    others = dialects(settings(credentials={"realm": "new"}), rig.clock)
    rig.responder.go_by(cast("Checker", new), others)
    later = rig.responder.respond(head)
    assert isinstance(later, Pending)
    rig.responder.begin(later, answers.append)
    for stub in (new, old):
        stub.asked[0](StoreError("gone"))
    words = [reply_of(answer).headers["www-authenticate"] for answer in answers]
    assert ['realm="new"' in words[0], 'scope="new"' in words[0]] == [True, True]
    assert ['realm="old"' in words[1], 'scope="old"' in words[1]] == [True, True]
    assert (old.retired, new.retired) == (True, False)
    rig.hasher.close()


async def noticed(store: KeyStore) -> None:
    """Wait until the server has noticed what others changed before: it looks again and again."""
    looks: list[None] = []
    changes = store.changes

    async def counted(cursor: int | None) -> KeyChanges:
        found = await changes(cursor)
        looks.append(None)
        return found

    store.changes = counted  # type: ignore[method-assign]  # only watched
    # The first may have begun before.
    await eventually(lambda: len(looks) >= 3)


def test_records_stay_in_memory(tmp_path: Path) -> None:
    """A reload asks no store for what it knows, however often: a store that is gone can't be asked."""

    async def scenario(it: Changing) -> None:
        store = it.world.app.parts.management.store
        keys = [(await it.world.create_key()).text for _ in range(3)]
        await noticed(store)
        for key in keys:
            await it.world.ask(key=key)
        read: list[str] = []
        get = store.get

        async def noted(key_id: str) -> ApiKey | None:
            read.append(key_id)
            return await get(key_id)

        store.get = noted  # type: ignore[method-assign]  # only watched
        for number in range(1, 4):
            it.change(tiers={"default": {"rates": [f"{number}000/second"]}})
            # One key is asked for now, the others not before the last change.
            reply = await it.world.ask(key=keys[0])
            assert reply.headers["x-ratelimit-limit"] == f"{number}000"
        for key in keys:
            assert (await it.world.ask(key=key)).headers["x-ratelimit-limit"] == "3000"
        assert read == []

    changing(tmp_path, scenario)


def test_a_key_that_changed_is_not_taken_from_before(tmp_path: Path) -> None:
    """What is forgotten is forgotten among the records from before a reload too."""

    async def scenario(it: Changing) -> None:
        issued = await it.world.create_key()
        await it.world.ask(key=issued.text)
        it.change(default_route="authenticate", docs_url="https://docs.example.com")
        await it.world.revoke(issued.record)
        await eventually(lambda: it.world.app.records.held == 0)
        assert (await it.world.ask(key=issued.text)).status == 401

    changing(tmp_path, scenario)


def test_two_hundred_reloads_leave_nothing_behind(tmp_path: Path) -> None:
    """Memories stay bounded, and of all that was compiled only what is in force is left."""

    def tables() -> int:
        gc.collect()
        return sum(isinstance(thing, RouteTable) for thing in gc.get_objects())

    async def scenario(it: Changing) -> None:
        before = tables()
        keys = [(await it.world.create_key()).text for _ in range(5)]
        for number in range(200):
            it.change(
                routes=[{"path": f"/v{number}/**", "limits": ["100/second"], "cost": 2}],
                tiers={"default": {"rates": [f"{number + 1}000/second"]}},
            )
            for key in keys[: 1 + number % 5]:
                assert (await it.world.ask(f"/v{number}/x", key=key)).status == 200
        # Those in force: of the checker and of what explains.
        assert tables() == before
        app = it.world.app
        assert app.records.held <= 5
        assert len(app.limits) <= 5 * 2 * 200

    changing(tmp_path, scenario)


class Source:
    """What a reload loads: settings, or mistakes."""

    def __init__(self, first: Settings) -> None:
        self.next: Settings | ConfigError | ValueError = first

    def load(self) -> Settings:
        """Load them."""
        if isinstance(self.next, Settings):
            return self.next
        raise self.next


class Telling(Changing):
    """A world that reloads, and what it tells of that."""

    def __init__(self, world: World, folder: Path) -> None:
        super().__init__(world, folder)
        self.source = Source(world.app.settings)
        self.handed_on: list[Settings] = []
        self.reloader = Reloader(world.app, self.source.load, hand_on=self._hand_on)

    async def _hand_on(self, settings: Settings) -> None:
        self.handed_on.append(settings)

    async def reload(self, loaded: Settings | ConfigError | ValueError) -> tuple[str, float]:
        """Reload; return what `/readyz` says, and whether it is told as a success."""
        self.source.next = loaded
        await self.reloader.reload()
        assert self.world.app.health.ready
        page = {family.name: family for family in self.world.app.reloads.collect()}
        successful = page["extauth_config_last_reload_successful"].samples[0].value
        return self.world.app.health.page()["parts"]["config"], successful

    def counted(self) -> dict[str, int]:
        """Return the counts by outcome."""
        return {outcome.value: count for outcome, count in self.world.app.reloads.reloads.items()}

    async def events(self, name: str) -> list[dict[str, Any]]:
        """Return log lines."""
        return [line for line in await self.world.logged() if line["event"] == name]


def telling(folder: Path, scenario: Callable[[Telling], Any], **sections: Any) -> None:
    """Run a scenario in a world that reloads."""

    async def run() -> None:
        async with open_world(folder, **sections) as world:
            await scenario(Telling(world, folder))

    asyncio.run(run())


def test_a_mistake_is_told_everywhere_until_it_is_mended(tmp_path: Path) -> None:
    """Refused with every mistake, nothing changed, ready all the time; the next good one clears it."""

    async def scenario(it: Telling) -> None:
        before = it.world.app.settings
        told, successful = await it.reload(ConfigError(["x.yaml:3: a: b", "x.yaml:9: c: d"]))
        assert "2 mistakes, the first: x.yaml:3: a: b" in told
        assert successful == 0
        assert it.world.app.settings is before
        assert it.handed_on == []
        (line,) = await it.events("config_refused")
        assert (line["level"], line["problems"]) == ("error", ["x.yaml:3: a: b", "x.yaml:9: c: d"])
        assert await it.reload(before) == ("ok", 1)
        assert await it.reload(settings_in(tmp_path, default_route="deny")) == ("ok", 1)
        assert it.counted() == {"ok": 1, "failed": 1, "unchanged": 1}
        assert [handed.default_route for handed in it.handed_on] == ["deny"]
        (line,) = await it.events("config_reloaded")
        assert (line["changed"], line["needs_restart"]) == (["default_route"], [])

    telling(tmp_path, scenario)


def test_what_waits_for_a_restart_is_named(tmp_path: Path) -> None:
    """By its fields, while the rest is in force; put back, nothing waits any more."""

    async def scenario(it: Telling) -> None:
        new = settings_in(tmp_path, listen={"check": "127.0.0.1:9100"}, workers=1, default_route="deny")
        told, successful = await it.reload(new)
        assert (told, successful) == ("waiting for a restart: listen.check", 1)
        assert (await it.world.ask("/x")).code == "route_denied"
        told, _ = await it.reload(new)
        assert told == "waiting for a restart: listen.check"
        (line,) = await it.events("config_reloaded")
        assert (line["level"], line["needs_restart"]) == ("warning", ["listen.check"])
        assert (await it.reload(settings_in(tmp_path)))[0] == "ok"

    telling(tmp_path, scenario)


def test_a_fault_in_reloading_is_a_failure_and_no_end(tmp_path: Path) -> None:
    """Whatever is raised: it is logged, the old settings stay, and the next reload works."""

    async def scenario(it: Telling) -> None:
        told, successful = await it.reload(ValueError(PEPPER))
        assert ("a fault of extauth: ValueError" in told, successful) == (True, 0)
        assert PEPPER not in told
        assert (await it.reload(settings_in(tmp_path, default_route="deny")))[0] == "ok"

    telling(tmp_path, scenario)


class Watched:
    """A watched file, and how often a reload was asked for."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.loaded: list[str] = []
        self.watch = ConfigWatch(file, every_seconds=0.01)

    async def reload(self) -> None:
        """Note what would be loaded."""
        self.loaded.append(self.file.read_text() if self.file.exists() else "nothing")


def watching(file: Path, scenario: Callable[[Watched], Any]) -> None:
    """Run a scenario with a file that is watched."""

    async def run() -> None:
        watched = Watched(file)
        task = asyncio.create_task(watched.watch.run(watched.reload))
        try:
            await scenario(watched)
        finally:
            task.cancel()

    asyncio.run(run())


def test_a_change_of_the_file_is_noticed_however_it_is_written(tmp_path: Path) -> None:
    """In place with the same size and time, by another file of its name, by links as Kubernetes has them."""
    folder = tmp_path / "a"
    folder.mkdir()
    (tmp_path / "data").symlink_to(folder)
    (folder / "x.yaml").write_text("one")
    file = tmp_path / "x.yaml"
    file.symlink_to(Path("data") / "x.yaml")

    async def scenario(it: Watched) -> None:
        stat = file.stat()
        file.write_text("two")
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        await eventually(lambda: it.loaded == ["two"])
        (folder / "y.yaml").write_text("three")
        (folder / "y.yaml").replace(folder / "x.yaml")
        await eventually(lambda: it.loaded == ["two", "three"])
        other = tmp_path / "b"
        other.mkdir()
        (other / "x.yaml").write_text("four")
        (tmp_path / "next").symlink_to(other)
        (tmp_path / "next").replace(tmp_path / "data")
        await eventually(lambda: it.loaded == ["two", "three", "four"])
        file.unlink()
        await eventually(lambda: it.loaded[3:] == ["nothing"])

    watching(file, scenario)


def test_a_file_that_is_being_written_is_waited_for(tmp_path: Path) -> None:
    """Never loaded while each look finds another content; nothing at all is a configuration too."""
    file = tmp_path / "x.yaml"
    file.write_text("one")

    async def run() -> None:
        watched = Watched(file)
        looks: list[bytes] = []
        contents = iter([b"", b"t", b"tw"])

        def look() -> bytes:
            looks.append(next(contents, b"two"))
            return looks[-1]

        watched.watch._look = look  # type: ignore[method-assign]
        task = asyncio.create_task(watched.watch.run(watched.reload))
        file.write_text("two")
        await eventually(lambda: len(looks) > 8)
        task.cancel()
        assert watched.loaded == ["two"]

    asyncio.run(run())


def test_whoever_asks_is_heard_at_once(tmp_path: Path) -> None:
    """Also where nothing changed, and without a file."""
    file = tmp_path / "x.yaml"
    file.write_text("one")

    async def scenario(it: Watched) -> None:
        it.watch.ask()
        await eventually(lambda: it.loaded == ["one"])
        it.watch.ask()
        await eventually(lambda: it.loaded == ["one", "one"])

    watching(file, scenario)

    async def without() -> None:
        asked: list[None] = []

        async def reload() -> None:
            asked.append(None)

        watch = ConfigWatch(None, every_seconds=0.01)
        task = asyncio.create_task(watch.run(reload))
        watch.ask()
        await eventually(lambda: len(asked) == 1)
        task.cancel()

    asyncio.run(without())
