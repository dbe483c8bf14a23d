"""The watcher: a change by another process is noticed, and a store that fails leaves nothing trusted."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from dataclasses import replace

import pytest

from extauth.errors import StoreError
from extauth.keys import watcher
from extauth.keys.watcher import LOOK_EVERY_SECONDS, KeyWatcher
from extauth.stores.base import KeyChanges
from tests.fakes import MemoryKeyStore
from tests.keys import entry, record
from tests.waiting import eventually


class Rig:
    """A watcher that notes what it calls, in order."""

    def __init__(self) -> None:
        self.store = MemoryKeyStore()
        self.heard: list[str] = []
        self.watcher = KeyWatcher(
            self.store,
            forget=self._forget,
            forget_all=lambda: self.heard.append("everything"),
            on_failure=lambda error: self.heard.append(f"failure: {error}"),
            on_success=lambda: self.heard.append("fine"),
        )

    def _forget(self, key_ids: Iterable[str]) -> None:
        self.heard += [f"forget {key_id}" for key_id in key_ids]

    async def look(self) -> list[str]:
        """Look once, and return what that called."""
        self.heard.clear()
        await self.watcher.look()
        return list(self.heard)


def test_a_change_is_noticed_once() -> None:
    """Added, changed, changed again: each look hears of what is new since the last one, and only of that."""

    async def scenario() -> None:
        rig = Rig()
        await rig.store.add(record("AAAAbbbb0001"), entry())
        await rig.look()
        assert await rig.look() == ["fine"]
        await rig.store.add(record("AAAAbbbb0002"), entry())
        await rig.store.save(replace(record("AAAAbbbb0001"), version=2), entry())
        assert sorted(await rig.look()) == ["fine", "forget AAAAbbbb0001", "forget AAAAbbbb0002"]
        assert await rig.look() == ["fine"]

    asyncio.run(scenario())


def test_the_first_look_trusts_nothing_that_came_before() -> None:
    """Without a cursor nobody can say what has changed since something was loaded."""

    async def scenario() -> None:
        rig = Rig()
        rig.store.failure = StoreError("not there yet")
        await rig.look()
        rig.store.failure = None
        assert await rig.look() == ["everything", "fine"]

    asyncio.run(scenario())


def test_while_the_store_fails_everything_is_forgotten() -> None:
    """At every look, because what is loaded between two looks may be out of date at once."""

    async def scenario() -> None:
        rig = Rig()
        await rig.look()
        rig.store.failure = StoreError("gone")
        for _ in range(3):
            assert await rig.look() == ["everything", "failure: gone"]

    asyncio.run(scenario())


def test_what_changed_while_the_store_was_gone_is_noticed_afterwards() -> None:
    """The cursor stays where it was, so that nothing is skipped."""

    async def scenario() -> None:
        rig = Rig()
        await rig.look()
        rig.store.failure = StoreError("gone")
        await rig.look()
        rig.store.failure = None
        await rig.store.add(record("AAAAbbbb0003"), entry())
        assert await rig.look() == ["forget AAAAbbbb0003", "fine"]

    asyncio.run(scenario())


def test_a_fault_that_nobody_foresaw_does_not_end_the_watch() -> None:
    """A watcher that died would leave revoked keys valid until the next restart."""

    async def scenario() -> None:
        rig = Rig()
        await rig.look()
        rig.store.failure = ZeroDivisionError("planted")  # type: ignore[assignment]  # what a store must never raise
        running = asyncio.create_task(rig.watcher.run())
        await eventually(lambda: "failure: ZeroDivisionError('planted')" in rig.heard)
        rig.store.failure = None
        await rig.store.add(record("AAAAbbbb0004"), entry())
        await eventually(lambda: "forget AAAAbbbb0004" in rig.heard)
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running

    asyncio.run(scenario())


def test_looks_are_frequent_enough_for_the_promise() -> None:
    """A revocation holds after 0.2 s: two looks and the time that they take have to fit into that."""
    assert LOOK_EVERY_SECONDS <= 0.1


def test_while_an_answer_is_late_nothing_is_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that stands still might hold a revocation; when it answers all is well again."""
    monkeypatch.setattr(watcher, "LATE_AFTER_SECONDS", 0.01)

    async def scenario() -> None:
        rig = Rig()
        await rig.look()
        late, changes = asyncio.Event(), rig.store.changes

        async def slow(cursor: int | None) -> KeyChanges:
            await late.wait()
            return await changes(cursor)

        rig.store.changes = slow  # type: ignore[method-assign]  # the disk stands still
        looking = asyncio.create_task(rig.look())
        await eventually(lambda: rig.heard == ["everything"])
        late.set()
        assert await looking == ["everything", "fine"]

    asyncio.run(scenario())
