"""Checks whose store is shared: one patience for all that they ask, and no refusal that is out of date."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, NoReturn

import pytest

from extauth.errors import StoreError
from extauth.failure import FailureModes, Mode
from extauth.keys.records import ABSENT
from extauth.model import Code
from extauth.patience import Patience
from tests.answers import reply_of
from tests.checking import request_for
from tests.dialects import PROXIES
from tests.fakes import START
from tests.keys import entry, record
from tests.sharing import SharedRig
from tests.waiting import eventually

DEGRADED = FailureModes(authentication=Mode.DEGRADE, limits=Mode.DEGRADE)


def with_rig(scenario: Callable[[SharedRig], Awaitable[None]], **options: Any) -> None:
    """Run a scenario on a rig of its own."""

    async def run() -> None:
        rig = SharedRig(**options)
        try:
            await scenario(rig)
        finally:
            rig.hasher.close()

    asyncio.run(run())


def test_waiting_uses_patience_up() -> None:
    """Whoever waited once has less for the next answer; what comes in time is returned."""

    async def run() -> None:
        loop = asyncio.get_running_loop()
        patience = Patience(5)
        answer: asyncio.Future[int] = loop.create_future()
        loop.call_later(0.03, answer.set_result, 7)
        assert await patience.wait_for(answer) == 7
        assert patience._left <= 5 - 0.029
        patience._left = 0.0
        assert await patience.wait_for(answer) == 7
        with pytest.raises(StoreError, match="did not answer within 5000 ms"):
            await patience.wait_for(loop.create_future())

    asyncio.run(run())


def test_what_was_waited_for_in_vain_goes_on() -> None:
    """Others may wait for it too, with more patience."""

    async def run() -> None:
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        with pytest.raises(StoreError):
            await Patience(0.001).wait_for(answer)
        answer.set_result(7)
        assert await Patience(0).wait_for(answer) == 7

    asyncio.run(run())


@pytest.mark.parametrize("which", ["record", "limits"])
def test_a_cold_check_waits_for_neither_record_nor_limits_longer_than_is_set(which: str) -> None:
    """Then the policy decides."""

    async def scenario(rig: SharedRig) -> None:
        text, _ = await rig.issue()
        if which == "record":
            rig.store.held = asyncio.Event()
        else:
            rig.shared.deaf = True
        decision = await rig.ask(key=text)
        assert decision.code is Code.STORE_UNAVAILABLE
        assert "did not answer within 10 ms" in decision.reason
        if rig.store.held is not None:
            rig.store.held.set()

    with_rig(scenario, deadline=0.01)


def test_what_a_check_has_waited_already_counts() -> None:
    """A key that changed while it was known is read anew in what is left of the time."""

    async def scenario(rig: SharedRig) -> None:
        text, _ = await rig.issue()
        rig.store.held = asyncio.Event()
        request = request_for(key=text)
        decision = await rig.checker.decide_later(request, rig.checker.claim(request), 9_900_000)
        assert "did not answer within 100 ms" in decision.reason
        rig.store.held.set()

    with_rig(scenario, deadline=10)


def test_a_load_that_fails_when_nobody_waits_any_more_is_no_fault() -> None:
    """It is told to nobody, and the next check reads anew."""

    async def scenario(rig: SharedRig) -> None:
        told: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: told.append(context))
        text, _ = await rig.issue()
        fails = asyncio.Event()
        get = rig.store.get

        async def failing(_key_id: str) -> NoReturn:
            await fails.wait()
            raise StoreError("gone")

        rig.store.get = failing  # type: ignore[method-assign, assignment]  # this store is this test's
        assert (await rig.ask(key=text)).code is Code.STORE_UNAVAILABLE
        fails.set()
        await eventually(lambda: not rig.records._loads)
        gc.collect()
        assert told == []
        rig.store.get = get  # type: ignore[method-assign]  # as above
        assert (await rig.ask(key=text)).code is Code.ALLOWED

    with_rig(scenario, deadline=0.01)


def test_a_key_that_was_enabled_again_is_let_in_by_every_server() -> None:
    """Also by one that refused it before it ever verified its secret."""

    async def scenario(rig: SharedRig) -> None:
        text, key = await rig.issue(active=False)
        assert (await rig.ask(key=text)).reason == "disabled"
        await rig.store.save(replace(key, active=True, version=2), entry())
        assert (await rig.ask(key=text)).code is Code.ALLOWED

    with_rig(scenario)


def test_a_key_that_was_made_while_it_was_looked_for_is_found() -> None:
    """A check that joins a load which began before the key was made doesn't believe that there is none."""

    async def scenario(rig: SharedRig) -> None:
        rig.store.held = asyncio.Event()
        before = asyncio.create_task(rig.records.known("AAAAbbbb0001", Patience(5)))
        await eventually(lambda: rig.store.calls["get"] == 1)
        await rig.store.add(record(), entry())
        after = asyncio.create_task(rig.records.known("AAAAbbbb0001", Patience(5)))
        await asyncio.sleep(0)
        rig.store.held.set()
        assert await before is ABSENT
        assert await after is not ABSENT

    with_rig(scenario)


@pytest.mark.parametrize("dialect", PROXIES)
@pytest.mark.parametrize("spent", [False, True])
def test_an_answer_tells_what_was_decided_without_the_store(dialect: str, spent: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Allowed or refused, through whichever proxy; the count of these is kept."""

    async def scenario(rig: SharedRig) -> None:
        text, _ = await rig.issue(created_at=START)
        answers = [await _answered(rig, dialect, text)]
        assert "x-extauth-degraded" not in answers[0]
        rig.store.failure = rig.shared.failure = StoreError("gone")
        answers = [await _answered(rig, dialect, text) for _ in range(3)]
        said = "authentication=degrade,limits=degrade"
        assert [headers["x-extauth-degraded"] for headers in answers] == [said] * 3
        assert any("retry-after" in headers for headers in answers) is spent
        rig.recorder.flush()
        assert rig.counts.degraded == {said: 3}

    with_rig(scenario, modes=DEGRADED, tiers={"default": {"rates": ["4/hour" if spent else "400/hour"]}})


async def _answered(rig: SharedRig, dialect: str, key: str) -> dict[str, str]:
    proxy = next(each for prefix, each in rig.responder._dialects if dialect.encode() in prefix)
    decision = await rig.ask(key=key)
    request = request_for(key=key)._replace(dialect=dialect)
    rig.recorder.record(request, decision, rig.clock.now_us())
    return reply_of(proxy.render(request, decision)).headers
