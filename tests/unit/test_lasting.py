"""Texts that are kept take no more memory than they need."""

from __future__ import annotations

import orjson

from extauth.lasting import lasting
from extauth.model import Code, Decision
from extauth.telemetry.metrics import CheckCounts
from extauth.telemetry.recorder import Recorder
from tests.checking import request_for
from tests.fakes import FakeClock
from tests.logs import ListedLines
from tests.memory import bytes_kept


def test_a_text_is_kept_without_the_room_that_was_made_for_it() -> None:
    """It is the same text."""
    numbers = [*range(650)]
    assert lasting(orjson.dumps(numbers)) == orjson.dumps(numbers)
    length = len(orjson.dumps(numbers))
    assert length <= bytes_kept(lambda: lasting(orjson.dumps(numbers))) <= length + 200


def test_addresses_that_are_remembered_take_little_memory() -> None:
    """There may be 32,768, of a flood: at 4 KiB each that were 128 MiB."""
    lines = ListedLines()
    recorder = Recorder(counts=CheckCounts(["envoy"]), lines=lines, clock=FakeClock())

    def record(first: int, last: int) -> None:
        for number in range(first, last):
            request = request_for()._replace(client_ip=f"192.0.{number // 256}.{number % 256}")
            recorder.record(request, Decision(Code.MISSING_KEY), 0)
            recorder.flush()
            lines.taken.clear()

    record(0, 1)
    assert bytes_kept(lambda: record(1, 501)) < 500 * 1_000
