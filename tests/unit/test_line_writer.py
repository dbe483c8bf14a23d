"""Log lines on their way out: in order, whole, bounded, and never in the way of a check or of the end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from extauth.telemetry.lines import LineWriter
from tests.waiting import eventually

# A pipe that nobody reads takes 65 of them.
LINE = b"x" * 999 + b"\n"


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Give a pipe's two ends, to read and to write."""
    ends = os.pipe()
    yield ends
    for end in ends:
        with contextlib.suppress(OSError):
            os.close(end)


async def drained(reader: int, size: int) -> bytes:
    """Read that many bytes."""
    chunks = b""
    while len(chunks) < size:
        chunks += await asyncio.to_thread(os.read, reader, size - len(chunks))
    return chunks


def test_lines_come_out_whole_and_in_order(tmp_path: Path) -> None:
    """What was taken before the end is written by the end."""

    async def scenario() -> None:
        with (tmp_path / "log").open("wb") as file:
            writer = LineWriter(file.fileno())
            running = asyncio.create_task(writer.run())
            for number in range(5_000):
                writer.write(b"line %d\n" % number)
                if number % 1_000 == 0:
                    await writer.flush()
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await writer.close()
            assert writer.dropped == 0

    asyncio.run(scenario())
    assert (tmp_path / "log").read_bytes() == b"".join(b"line %d\n" % number for number in range(5_000))


def test_whoever_waits_for_the_log_does_not_wait_for_what_comes_later(tmp_path: Path) -> None:
    """A line that comes while others are written holds nobody up, and is written at the end."""
    log = tmp_path / "log"

    async def scenario() -> None:
        turn = threading.Lock()

        @contextlib.contextmanager
        def in_turn() -> Iterator[None]:
            with turn:
                yield

        with log.open("wb") as file:
            writer = LineWriter(file.fileno(), turn=in_turn)
            with turn:
                writer.write(b"first\n")
                flushing = asyncio.create_task(writer.flush(within=5))
                await asyncio.sleep(0)
                writer.write(b"second\n")
            await flushing
            assert log.read_bytes() == b"first\n"
            await writer.close()
            assert writer.dropped == 0

    asyncio.run(scenario())
    assert log.read_bytes() == b"first\nsecond\n"


def test_lines_are_written_without_being_told(tmp_path: Path) -> None:
    """A log that is followed shows a line a moment later; who holds lines back is asked for them first."""
    log = tmp_path / "log"

    async def scenario() -> None:
        with log.open("wb") as file:
            writer = LineWriter(file.fileno())
            writer.add_source(lambda: writer.write(b"brought\n"))
            running = asyncio.create_task(writer.run())
            await eventually(lambda: log.read_bytes().startswith(b"brought\n"))
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await writer.close()

    asyncio.run(scenario())


def test_a_reader_that_stands_still_costs_lines_not_memory(pipe: tuple[int, int]) -> None:
    """Only so much is kept, the rest is dropped and counted; when it is read again all goes on."""
    reader, end = pipe
    capacity = 200 * len(LINE)

    async def scenario() -> None:
        writer = LineWriter(end, capacity=capacity)
        writer.write_several([LINE] * 200)
        flushing = asyncio.create_task(writer.flush())
        await asyncio.sleep(0)
        for _ in range(900):
            writer.write(LINE)
        writer.write_several([LINE] * 100)
        assert not flushing.done()
        assert writer.dropped == 1_000
        assert await drained(reader, capacity) == LINE * 200
        await flushing
        writer.write(b"afterwards\n")
        await writer.close()
        assert await drained(reader, 11) == b"afterwards\n"
        assert writer.dropped == 1_000

    asyncio.run(scenario())


def test_of_several_lines_those_are_kept_that_have_room(pipe: tuple[int, int]) -> None:
    """Not none of them because all are too many."""
    reader, end = pipe

    async def scenario() -> None:
        writer = LineWriter(end, capacity=3 * len(LINE))
        writer.write_several([LINE] * 5)
        await writer.close()
        assert await drained(reader, 3 * len(LINE)) == LINE * 3
        assert writer.dropped == 2

    asyncio.run(scenario())


def test_a_reader_that_went_away_is_counted_not_thrown(pipe: tuple[int, int]) -> None:
    """Checks go on without a log, and the metric tells."""
    reader, end = pipe
    os.close(reader)

    async def scenario() -> None:
        writer = LineWriter(end)
        for _ in range(3):
            writer.write(LINE)
        await writer.flush()
        assert writer.dropped == 3
        await writer.close()

    asyncio.run(scenario())


_STUCK = """
import asyncio, sys
from extauth.telemetry import lines
lines.LAST_WRITE_SECONDS = 0.2

async def main():
    writer = lines.LineWriter(sys.stdout.fileno())
    running = asyncio.create_task(writer.run())
    for _ in range(1000):
        writer.write(b"x" * 999 + b"\\n")
    await asyncio.sleep(0.1)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    writer.write(b"the last line\\n")
    await writer.close()
    print(writer.dropped, file=sys.stderr, flush=True)

asyncio.run(main())
"""


def test_a_reader_that_stands_still_does_not_hold_up_the_end() -> None:
    """A server whose log nobody takes still ends when it is told to, and counts what was lost."""
    with subprocess.Popen(
        [sys.executable, "-c", _STUCK], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            process.wait(timeout=3)
        except subprocess.TimeoutExpired:
            process.kill()
            pytest.fail("the process did not end")
        finally:
            assert process.stderr is not None
            dropped = process.stderr.read()
    assert process.returncode == 0
    assert int(dropped) > 0
