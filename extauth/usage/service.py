"""Answers what operators ask about usage: for the admin API, the command line and whoever else shows it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import orjson

from extauth.clock import Clock, from_us
from extauth.errors import StoreError
from extauth.stores.base import KeyFilter, KeyStore
from extauth.stores.usage import (
    REFUSALS_KEPT_SECONDS,
    Group,
    Kind,
    Selection,
    UsageStore,
    requests_of,
)
from extauth.usage.question import MOST_POINTS_TOGETHER, By, Span, UsageQuestion, span_of
from extauth.usage.report import UsageReport, empty_series, series_of

_GROUPS = {
    By.NONE: Group.NOTHING,
    By.KEY: Group.NAME,
    By.USER: Group.NAME,
    By.ROUTE: Group.ROUTE,
    By.TIER: Group.TIER,
}
# Of how many keys of a user the busiest are looked for.
_MOST_KEYS = 400


class UsageService:
    """Reads usage. `keys` knows which keys a user has."""

    def __init__(self, store: UsageStore, keys: KeyStore, clock: Clock) -> None:
        self._store = store
        self._keys = keys
        self._clock = clock

    async def report(self, question: UsageQuestion) -> UsageReport:
        """Return the series that are asked for. Raises InvalidInputError and StoreError."""
        question.check()
        span = span_of(question, from_us(self._clock.now_us()))
        selection = _selection(question, span)
        if selection.group is Group.NAME:
            selection = replace(selection, names=await self._busiest(question, selection, span))
        found = series_of(await self._store.read(selection) if selection.names else (), span)
        if question.by is By.NONE and not found:
            found = [empty_series(span)]
        # Whoever tells them goes on in another turn: checks come in between.
        await asyncio.sleep(0)
        return UsageReport(span=span, by=question.by, series=tuple(found[: question.most_series]))

    async def refusals(self, key_id: str) -> list[dict[str, Any]]:
        """Return the latest refusals of a key, the newest first. Raises StoreError."""
        oldest = from_us(self._clock.now_us()) - timedelta(seconds=REFUSALS_KEPT_SECONDS)
        try:
            told = [orjson.loads(line) for line in await self._store.refusals(key_id)]
            return [refusal for refusal in told if datetime.fromisoformat(refusal["at"]) >= oldest]
        except (TypeError, ValueError, KeyError) as error:
            raise StoreError(f"a refusal of key {key_id} can't be read: {error}") from error

    async def _busiest(self, question: UsageQuestion, selection: Selection, span: Span) -> Sequence[str]:
        """Return the keys or users that most requests came from."""
        if question.key_id is not None:
            return (question.key_id,)
        if selection.kind is Kind.USER and question.user_id is not None:
            return (question.user_id,)
        requests: Counter[str] = Counter()
        if question.user_id is not None:
            names, at_once = await self._keys_of(question.user_id), MOST_POINTS_TOGETHER // span.points
            for first in range(0, len(names), at_once):
                some = replace(selection, names=names[first : first + at_once])
                for group, _, counts in await self._store.read(some):
                    requests[group] += requests_of(counts)
        else:
            for ranked in await self._store.top(selection):
                requests[ranked.name] += ranked.requests
        return [name for name, _ in requests.most_common(question.most_series)]

    async def _keys_of(self, user_id: str) -> list[str]:
        found: list[str] = []
        cursor: str | None = None
        while len(found) < _MOST_KEYS:
            page = await self._keys.list(KeyFilter(user_id=user_id), cursor=cursor)
            found += [key.key_id for key in page.keys]
            cursor = page.next_cursor
            if cursor is None:
                break
        return found[:_MOST_KEYS]


def _selection(question: UsageQuestion, span: Span) -> Selection:
    kind, names = Kind.ALL, [""]
    if question.key_id is not None or question.by is By.KEY:
        kind, names = Kind.KEY, [question.key_id or ""]
    elif question.user_id is not None or question.by is By.USER:
        kind, names = Kind.USER, [question.user_id or ""]
    return Selection(
        step=span.step,
        kind=kind,
        names=names,
        since=span.since,
        until=span.until,
        group=_GROUPS[question.by],
        tier=question.tier,
        route=question.route,
    )
