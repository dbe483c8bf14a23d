"""Whether workers get the processor when they want it: what each of them tells, and what all see."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from extauth.server.board import Board
from extauth.server.pulse import ACTIVE_MS, EVERY_MS, LATE_MS, REMEMBERED_MS, Pulse
from tests.waiting import eventually


class Rig:
    """Two workers, and a clock that a test moves. No timer fires by itself, as the loop has no turn."""

    def __init__(self, now_ms: int = 1_000_000) -> None:
        self.now_ms = now_ms
        self.board = Board.make(2)
        for worker in range(2):
            self.board.note(worker, 0)
        self.one, self.other = (Pulse(self.board, worker, now_ms=lambda: self.now_ms) for worker in range(2))

    def pass_by(self, milliseconds: int, *beating: Pulse) -> None:
        """Let time pass, in which these beat when they should."""
        for _ in range(milliseconds):
            self.now_ms += 1
            for pulse in beating:
                if pulse._timer is not None and self.now_ms >= pulse._due_ms:
                    pulse._beat()

    def seen(self) -> set[bool]:
        """Return what the two see, which is the same."""
        return {self.one.is_late(), self.other.is_late()}


async def punctual(rig: Rig) -> None:
    """Nobody is late who beats, nor who has nothing to do."""
    assert rig.seen() == {False}
    rig.one.quicken()
    for _ in range(5):
        rig.pass_by(ACTIVE_MS // 2, rig.one)
        rig.one.quicken()
        assert rig.seen() == {False}
    # Without reports it rests, however long.
    rig.pass_by(ACTIVE_MS + EVERY_MS, rig.one)
    rig.pass_by(60_000)
    assert rig.seen() == {False}
    rig.one.quicken()
    assert rig.seen() == {False}


async def overdue(rig: Rig) -> None:
    """One that should have beaten is late at once, for all; and for a second after it goes on."""
    rig.one.quicken()
    rig.pass_by(EVERY_MS + LATE_MS)
    assert rig.seen() == {False}
    rig.pass_by(1)
    assert rig.seen() == {True}
    rig.one._beat()
    assert rig.seen() == {True}
    rig.one.quicken()
    rig.pass_by(REMEMBERED_MS - 1, rig.one)
    assert rig.seen() == {True}
    rig.pass_by(1, rig.one)
    assert rig.seen() == {False}


async def gone(rig: Rig) -> None:
    """A worker that has ended, or was killed, is late no more."""
    rig.one.quicken()
    rig.other.quicken()
    rig.pass_by(EVERY_MS + LATE_MS + 1, rig.other)
    assert rig.seen() == {True}
    # As the supervisor notes of one that is gone.
    rig.board.note(0)
    assert rig.seen() == {False}
    rig.pass_by(EVERY_MS + LATE_MS + 1)
    assert rig.seen() == {True}
    rig.other.close()
    assert rig.seen() == {False}


async def just_now(rig: Rig) -> None:
    """One that beats a moment after another one looked at its clock is not late."""
    rig.board.beat(1, rig.now_ms + 1)
    assert rig.seen() == {False}


SCENARIOS: dict[str, Callable[[Rig], Awaitable[None]]] = {
    "punctual": punctual,
    "overdue": overdue,
    "gone": gone,
    "just now": just_now,
}


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("now_ms", [1_000_000, 2**32 - 50], ids=["any time", "as 32 bits are over"])
def test_who_is_late_is_seen_by_all(scenario: str, now_ms: int) -> None:
    """So that a report is waited for that may lie unread there."""

    async def run() -> None:
        rig = Rig(now_ms)
        await SCENARIOS[scenario](rig)
        rig.one.close()
        rig.other.close()

    asyncio.run(run())


def test_a_worker_beats_as_long_as_reports_come_and_then_rests() -> None:
    """By the loop's own timers."""

    async def run() -> None:
        board = Board.make(1)
        pulse = Pulse(board, 0)
        assert board.beats() == [0]
        pulse.quicken()
        (first,) = board.beats()
        await eventually(lambda: board.beats()[0] not in {0, first})
        await eventually(lambda: board.beats() == [0])
        assert pulse._timer is None

    asyncio.run(run())
