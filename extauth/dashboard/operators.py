"""What operators see beside the admin API itself: everything at a glance, a search, who is near a limit."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field

from extauth.abuse.service import public_offender
from extauth.admin.access import holds
from extauth.admin.endpoint import Answer, Call, Endpoint, Services
from extauth.admin.models import Asked, NoParameters
from extauth.clock import from_us
from extauth.dashboard.access import Doorkeeper, SignedIn
from extauth.dashboard.overview import KeyViews
from extauth.dashboard.server_view import Rates, ServerView, checks_in
from extauth.errors import MalformedKeyError, NotFoundError
from extauth.keys.scopes import ADMIN, BANS_READ, KEYS_READ, USAGE_READ
from extauth.keys.token import parse_key
from extauth.keys.views import plain, public
from extauth.model import ApiKey
from extauth.settings.schema import effective
from extauth.stores.base import KeyStore
from extauth.telemetry.reloads import ReloadCounts

_MOST_FOUND = 20
_MOST_TALKERS = 10
_MOST_OFFENDERS = 5
# Of so many of the busiest keys the limits are looked at, and so many of these are shown.
_LOOKED_AT = 20
_MOST_NEAR = 50


class SearchQuery(Asked):
    """The beginning of a key id, of a name or of a user id. Of a whole key only its id is looked at."""

    q: Annotated[str, Field(min_length=1, max_length=256)]


class Operators:
    """The operations below `/dashboard/api` that are about everybody."""

    def __init__(
        self,
        *,
        server: ServerView,
        views: KeyViews,
        store: KeyStore,
        reloads: ReloadCounts,
        doorkeeper: Doorkeeper,
    ) -> None:
        self._server = server
        self._views = views
        self._store = store
        self._reloads = reloads
        self._doorkeeper = doorkeeper
        self._rates = Rates(views.services.clock)

    def endpoints(self) -> Sequence[Endpoint]:
        """Return the table of them."""
        return (
            _endpoint("overview", "", self.overview),
            _endpoint("search", KEYS_READ, self.search, SearchQuery),
            _endpoint("near", KEYS_READ, self.near),
            _endpoint("system", ADMIN, self.system),
        )

    async def overview(self, _services: Services, call: Call[NoParameters]) -> Answer:
        """Show all at a glance."""
        assert isinstance(call.by, SignedIn)
        return Answer(body=seen_by(call.by.key, await self.look()))

    async def look(self) -> Mapping[str, Any]:
        """Return all at a glance, for who may see everything. Raises StoreError."""
        bans, services = self._views.services.bans, self._views.services
        counters, hour, talkers, in_force, offenders = await asyncio.gather(
            self._server.counters(),
            self._views.last_hour(),
            self._views.talkers(_MOST_TALKERS),
            bans.list(),
            services.bans.offenders(_MOST_OFFENDERS),
        )
        return {
            "now": {"per_second": self._rates.of(checks_in(counters))},
            "hour": hour,
            "talkers": talkers,
            "health": self._server.condition(),
            "bans": len(in_force),
            "offenders": [public_offender(offender) for offender in offenders],
        }

    async def search(self, _services: Services, call: Call[SearchQuery]) -> Answer:
        """Find keys and users by how they begin."""
        text = call.asked.q.strip()
        with contextlib.suppress(MalformedKeyError):
            text = parse_key(text).key_id
        found = await self._store.search(text, limit=_MOST_FOUND)
        users = [{"user_id": user_id, "keys": keys} for user_id, keys in found.users.items()]
        return Answer(body={"keys": [public(key) for key in found.keys], "users": users})

    async def near(self, _services: Services, _call: Call[NoParameters]) -> Answer:
        """Show which limits of the busiest keys are nearest to being spent."""
        talkers = await self._views.busiest(_LOOKED_AT)
        key_ids = [series["group"] for series in talkers["series"] if series["user_id"] is not None]
        rows = [row for key_rows in await asyncio.gather(*map(self._rows_of, key_ids)) for row in key_rows]
        rows.sort(key=lambda row: row["share_used"], reverse=True)
        return Answer(body={"keys": rows[:_MOST_NEAR]})

    async def _rows_of(self, key_id: str) -> Sequence[dict[str, Any]]:
        services = self._views.services
        try:
            key, standing = await asyncio.gather(services.service.get(key_id), services.limits.look(key_id))
        except NotFoundError:
            # It was purged meanwhile.
            return []
        return list(_rows(key, standing.plain()))

    async def system(self, _services: Services, _call: Call[NoParameters]) -> Answer:
        """Show the configuration in force, and how the service is."""
        settings, counters = self._doorkeeper.settings, await self._server.counters()
        condition = self._server.condition()
        kind = "sqlite" if settings.store.is_embedded else settings.store.redis.kind
        body = {
            "ready": condition["ready"],
            "health": condition["parts"],
            "workers": settings.workers,
            "worker_health": condition.get("workers", {}),
            "config": effective(settings),
            "reload": self._last_reload(condition["parts"].get("config", "")),
            "signals": _signals(counters),
            "store": {"kind": kind, "durability": await self._store.durability()},
        }
        return Answer(body=body)

    def _last_reload(self, problem: str) -> Mapping[str, Any] | None:
        at_us = self._reloads.last_us
        if at_us is None:
            return None
        ok = self._reloads.last_successful
        return {"at": plain(from_us(at_us)), "ok": ok, "problem": "" if problem == "ok" else problem}


def seen_by(key: ApiKey, everything: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what of the overview a key's scopes let somebody see, and null for the rest."""
    parts = {
        "now": USAGE_READ,
        "hour": USAGE_READ,
        "talkers": USAGE_READ,
        "bans": BANS_READ,
        "offenders": BANS_READ,
    }
    hidden = {name for name, scope in parts.items() if not holds(key, scope)}
    return {name: None if name in hidden else part for name, part in everything.items()}


def _rows(key: ApiKey, standing: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for limit in standing["limits"]:
        if limit["remaining"] is not None:
            yield _row(key, limit, limit["capacity"], limit["remaining"])
    for limit in standing["in_flight"]:
        if limit["in_flight"] is not None:
            # More than may be are in flight where the limit was lowered since they began.
            yield _row(key, limit, limit["max"], max(limit["max"] - limit["in_flight"], 0))


def _row(key: ApiKey, limit: Mapping[str, Any], capacity: int, remaining: int) -> dict[str, Any]:
    return {
        "key_id": key.key_id,
        "user_id": key.user_id,
        "name": key.name,
        "limit": limit["name"],
        "shadow": limit.get("shadow", False),
        "capacity": capacity,
        "remaining": remaining,
        "share_used": (capacity - remaining) / capacity,
        "reset_seconds": limit.get("reset_seconds"),
        "retry_seconds": limit.get("retry_seconds"),
        "would_refuse": limit.get("would_refuse"),
    }


def _signals(counters: Mapping[str, Mapping[tuple[str, ...], float]]) -> Mapping[str, Any]:
    """Return what proxies reported, what of that was of no use, and how leases ended."""

    def by_label(name: str) -> dict[str, int]:
        return {labels[0]: int(value) for labels, value in counters.get(name, {}).items()}

    def total(name: str) -> int:
        return int(sum(counters.get(name, {}).values()))

    ended = by_label("extauth_leases_ended_total")
    return {
        "received": by_label("extauth_completion_signals_total"),
        "unread": by_label("extauth_completion_unread_total"),
        "unknown": total("extauth_completion_unknown_total"),
        "leases": total("extauth_leases_taken_total"),
        "freed_by_signal": ended.get("signal", 0),
        "by_disconnect": ended.get("disconnect", 0),
        "by_expiry": ended.get("expiry", 0),
    }


def _endpoint(name: str, scope: str, act: Any, asked: type[Asked] = NoParameters) -> Endpoint:
    return Endpoint(
        name=name, method="GET", path=f"/{name}", scope=scope, summary="", act=act, asked=asked, answers={}
    )
