"""A configuration file that changes is noticed, and not before it is whole."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from extauth.server.watching import ConfigWatch
from tests.waiting import eventually


class Watched:
    """A watched file, and how often a reload was asked for."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.loaded: list[str] = []
        self.watch = ConfigWatch(file, every_seconds=0.01)

    async def reload(self) -> None:
        """Note what would be loaded."""
        self.loaded.append(self.file.read_text() if self.file.exists() else "nothing")


def watching(file: Path, scenario: Callable[[Watched], Any]) -> None:
    """Run a scenario with a file that is watched."""

    async def run() -> None:
        watched = Watched(file)
        task = asyncio.create_task(watched.watch.run(watched.reload))
        try:
            await scenario(watched)
        finally:
            task.cancel()

    asyncio.run(run())


def test_a_change_of_the_file_is_noticed_however_it_is_written(tmp_path: Path) -> None:
    """In place with the same size and time, by another file of its name, by links as Kubernetes has them."""
    folder = tmp_path / "a"
    folder.mkdir()
    (tmp_path / "data").symlink_to(folder)
    (folder / "x.yaml").write_text("one")
    file = tmp_path / "x.yaml"
    file.symlink_to(Path("data") / "x.yaml")

    async def scenario(it: Watched) -> None:
        stat = file.stat()
        file.write_text("two")
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        await eventually(lambda: it.loaded == ["two"])
        (folder / "y.yaml").write_text("three")
        (folder / "y.yaml").replace(folder / "x.yaml")
        await eventually(lambda: it.loaded == ["two", "three"])
        other = tmp_path / "b"
        other.mkdir()
        (other / "x.yaml").write_text("four")
        (tmp_path / "next").symlink_to(other)
        (tmp_path / "next").replace(tmp_path / "data")
        await eventually(lambda: it.loaded == ["two", "three", "four"])
        file.unlink()
        await eventually(lambda: it.loaded[3:] == ["nothing"])

    watching(file, scenario)


def test_a_file_that_is_being_written_is_waited_for(tmp_path: Path) -> None:
    """Never loaded while each look finds another content; nothing at all is a configuration too."""
    file = tmp_path / "x.yaml"
    file.write_text("one")

    async def run() -> None:
        watched = Watched(file)
        looks: list[bytes] = []
        contents = iter([b"", b"t", b"tw"])

        def look() -> bytes:
            looks.append(next(contents, b"two"))
            return looks[-1]

        watched.watch._look = look  # type: ignore[method-assign]
        task = asyncio.create_task(watched.watch.run(watched.reload))
        file.write_text("two")
        await eventually(lambda: len(looks) > 8)
        task.cancel()
        assert watched.loaded == ["two"]

    asyncio.run(run())


def test_whoever_asks_is_heard_at_once(tmp_path: Path) -> None:
    """Also where nothing changed, and without a file."""
    file = tmp_path / "x.yaml"
    file.write_text("one")

    async def scenario(it: Watched) -> None:
        it.watch.ask()
        await eventually(lambda: it.loaded == ["one"])
        it.watch.ask()
        await eventually(lambda: it.loaded == ["one", "one"])

    watching(file, scenario)

    async def without() -> None:
        asked: list[None] = []

        async def reload() -> None:
            asked.append(None)

        watch = ConfigWatch(None, every_seconds=0.01)
        task = asyncio.create_task(watch.run(reload))
        watch.ask()
        await eventually(lambda: len(asked) == 1)
        task.cancel()

    asyncio.run(without())
