"""Errands in turn: one call at a time for each slot, nothing lost, nothing told twice."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

import pytest

from extauth.errors import StoreError
from extauth.stores.redis.limits import errands
from extauth.stores.redis.limits.endings import Ending, packed
from extauth.stores.redis.limits.errands import Due, Errands, ErrandsInTurn
from extauth.stores.redis.limits.line import Answered
from tests.waiting import eventually

MOST = 128
GONE = StoreError("Redis is gone")


class Rig:
    """Errands, and a Redis that answers when it is told to."""

    def __init__(self, *, fails_at_once: bool = False) -> None:
        self.calls: list[tuple[int, list[str], Answered]] = []
        self.told: list[tuple[str, str]] = []
        self.fails_at_once = fails_at_once
        self.errands: ErrandsInTurn[Ending] = ErrandsInTurn(self._run, len, lambda reply: reply.decode())

    def _run(self, slot: int, endings: Sequence[Ending], answered: Answered) -> None:
        self.calls.append((slot, [ending.name for ending in endings], answered))
        if self.fails_at_once:
            answered(GONE)

    def do(self, *names: str, slot: str = "a", until: float = 0.0) -> None:
        """Have these done."""
        self.errands.do(Due(Ending(name, (slot,)), partial(self._hear, name), until) for name in names)

    def _hear(self, name: str, said: str) -> None:
        self.told.append((name, said))
        if name == "faulty":
            raise ZeroDivisionError

    async def answer(self, number: int, reply: bytes | StoreError) -> None:
        """Answer that call, and let what follows happen."""
        self.calls[number][2](reply)
        await asyncio.sleep(0)

    def is_idle(self) -> bool:
        """Tell whether nothing is to be done any more."""
        return self.errands.is_idle

    def asked(self) -> list[tuple[int, list[str]]]:
        """Return the calls, without their answers."""
        return [call[:2] for call in self.calls]


def test_what_comes_while_a_call_is_under_way_goes_together() -> None:
    """In the order in which it came, at most so many at once; other slots don't wait for it."""

    async def scenario() -> None:
        rig = Rig()
        rig.do("1")
        for number in range(2, MOST + 3):
            rig.do(str(number))
        rig.do("other", slot="bb")
        assert rig.asked() == [(1, ["1"]), (2, ["other"])]
        await rig.answer(0, b"1")
        assert rig.asked()[2:] == [(1, [str(number) for number in range(2, MOST + 2)])]
        await rig.answer(2, b"0" * MOST)
        assert rig.asked()[3:] == [(1, [str(MOST + 2)])]
        await rig.answer(3, b"1")
        assert [said for _, said in rig.told] == ["1", *"0" * MOST, "1"]
        assert not rig.is_idle()
        await rig.answer(1, b"1")
        assert rig.is_idle()
        rig.do("5")
        assert rig.asked()[4:] == [(1, ["5"])]

    asyncio.run(scenario())


def test_whoever_closes_waits_for_what_is_under_way() -> None:
    """And for what is sent by then, in its own turn."""

    async def scenario() -> None:
        rig = Rig()
        rig.do("1")
        rig.errands.send(Ending("2", ("a",)), for_seconds=9)
        settled = asyncio.create_task(rig.errands.settle())
        await asyncio.sleep(0)
        await rig.answer(0, b"1")
        assert not settled.done()
        await rig.answer(1, GONE)
        await asyncio.wait_for(settled, 5)
        # That one is to be tried again, for which nobody waits.
        assert (rig.told, rig.is_idle()) == ([("1", "1")], False)

    asyncio.run(scenario())


def test_a_redis_that_is_gone_takes_no_call_apart() -> None:
    """However much is to be done: what is over by then is told nothing, and all of it once."""

    async def scenario() -> None:
        rig = Rig(fails_at_once=True)
        names = [str(number) for number in range(100 * MOST)]
        rig.do(*names)
        for _ in range(200):
            await asyncio.sleep(0)
        assert rig.told == [(name, "") for name in names]
        assert rig.is_idle()
        later = asyncio.get_running_loop().time() + 60
        rig.do("later", until=later)
        assert not rig.is_idle()
        assert len(rig.told) == len(names)

    asyncio.run(scenario())


def test_a_fault_of_whoever_is_told_holds_up_nobody_else() -> None:
    """The next call is made all the same."""

    async def scenario() -> None:
        rig = Rig()
        rig.do("faulty")
        rig.do("next")
        with pytest.raises(ZeroDivisionError):
            await rig.answer(0, b"1")
        await asyncio.sleep(0)
        assert rig.asked()[1:] == [(1, ["next"])]

    asyncio.run(scenario())


def test_only_so_many_wait_for_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are told at once that nothing is done: their leases end by themselves."""
    monkeypatch.setattr(errands, "_MOST_KEPT", 3)

    async def scenario() -> None:
        rig = Rig()
        rig.do("1")
        rig.do("2", "3")
        rig.do("4", "5", "6")
        assert rig.told == [("5", ""), ("6", "")]
        await rig.answer(0, b"1")
        assert rig.asked()[1:] == [(1, ["2", "3", "4"])]
        rig.do("7")
        await rig.answer(1, b"111")
        assert rig.asked()[2:] == [(1, ["7"])]

    asyncio.run(scenario())


def test_whoever_closes_waits_for_what_an_answer_sends_for() -> None:
    """Errands that take no turns are waited for too, with what is sent because of what they find."""

    async def scenario() -> None:
        calls: list[Answered] = []
        some: Errands[Ending] = Errands(
            lambda _slot, _what, answered: calls.append(answered), len, lambda reply: reply.decode()
        )
        some.send(Ending("find", ("a",)), lambda _said: some.send(Ending("found", ("a",))))
        settled = asyncio.create_task(some.settle())
        await eventually(lambda: len(calls) == 1)
        calls[0](b"1")
        await eventually(lambda: len(calls) == 2)
        assert not settled.done()
        calls[1](b"1")
        await asyncio.wait_for(settled, 5)
        assert some.is_idle

    asyncio.run(scenario())


def test_ends_are_packed_with_what_they_have_in_common_said_once() -> None:
    """Limits by number, in the order of their keys; whole leases only where they are filed."""
    words = packed(
        [
            Ending("a-1", ("k:one", "k:two"), ".5.6.x", "set-1"),
            Ending("a-2", ("k:two",)),
            Ending("a-3", (), ".7.8.y", "set-3"),
        ]
    )
    keys = b"".join(b"$%d\r\n%b\r\n" % (len(key), key) for key in (b"k:one", b"k:two", b"set-1", b"set-3"))
    assert (words.keys, words.number_of_keys, words.number_of_arguments) == (keys, 4, 1)
    text = b"2\na-1 1,2 .5.6.x\na-2 2 \na-3  .7.8.y\n"
    assert words.arguments == b"$%d\r\n%b\r\n" % (len(text), text)
