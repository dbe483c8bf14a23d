"""Other settings while a server runs: what changes, what waits, what stays, and that nothing is mixed."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path
from typing import Any, cast

from extauth.check import Asked, Checker
from extauth.compiled import dialects
from extauth.dialects.base import Answer, RequestHead
from extauth.errors import StoreError
from extauth.limits.plan import Plan
from extauth.model import ApiKey, CheckRequest, Code, Decision
from extauth.routes import Access, Route, RouteTable
from extauth.server.responder import Pending
from extauth.stores.base import KeyChanges, KeyStore
from extauth.stores.limits import OnTold, Told
from tests.answers import reply_of
from tests.checking import Rig
from tests.fakes import FakeClock
from tests.reloading import Changing, changing, settings
from tests.waiting import eventually


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
    rig.responder.begin(pending._replace(done=answers.append))
    others = dialects(settings(credentials={"realm": "new"}), rig.clock)
    rig.responder.go_by(cast("Checker", new), others, max_checks=2)
    later = rig.responder.respond(head)
    assert isinstance(later, Pending)
    rig.responder.begin(later._replace(done=answers.append))
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
