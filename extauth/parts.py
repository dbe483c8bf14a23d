"""What a check spends its time on while it waits: noted only for those of whom somebody wants to know."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple


class Part(NamedTuple):
    """Something that was waited for, such as `store` or `argon2`; times in microseconds since 1970."""

    name: str
    began_us: int
    ended_us: int


class Timeline:
    """The parts of one check."""

    __slots__ = ("now_us", "parts")

    def __init__(self, now_us: Callable[[], int]) -> None:
        self.now_us = now_us
        self.parts: list[Part] = []


# That of the check to which the running task belongs.
TIMELINE: ContextVar[Timeline | None] = ContextVar("timeline", default=None)


@contextmanager
def part(name: str) -> Iterator[None]:
    """Note how long what is done inside takes, where there is a timeline."""
    timeline = TIMELINE.get()
    if timeline is None:
        yield
        return
    began_us = timeline.now_us()
    try:
        yield
    finally:
        timeline.parts.append(Part(name, began_us, timeline.now_us()))
