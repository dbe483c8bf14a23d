"""Runs the command line in a folder of its own, in this process or in another."""

from __future__ import annotations

import asyncio
import io
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pytest
import yaml

from extauth.cli.main import main
from extauth.clock import SystemClock
from extauth.model import RECORD_FIELDS
from extauth.stores.base import KeyStore
from tests.stores import sqlite_keys
from tests.world import open_world

Result = TypeVar("Result")

CONFIG = """\
store: {url: "sqlite:///data/extauth.db"}
keys: {hashing: {memory_kib: 8192, time_cost: 1}}
tiers: {free: {rates: [10/second]}}
"""


class Done(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed for programs."""
        assert (self.code, self.err) == (0, "")
        return json.loads(self.out)


class Stdin(io.TextIOWrapper):
    """Standard input that holds an answer; it is a terminal if a person is to be asked."""

    def __init__(self, text: str, *, terminal: bool) -> None:
        super().__init__(io.BytesIO(text.encode()))
        self._terminal = terminal

    def isatty(self) -> bool:
        """Tell whether somebody can be asked."""
        return self._terminal


class Shell:
    """Runs `extauth` in a folder, in this process or in one of its own."""

    def __init__(self, folder: Path, capture: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self._capture = capture
        self._patch = patch
        (folder / "extauth.yaml").write_text(CONFIG)
        patch.chdir(folder)
        for name in [name for name in os.environ if name.startswith("EXTAUTH")]:
            patch.delenv(name)
        patch.setenv("EXTAUTH_CONFIG", "extauth.yaml")

    def run(self, *arguments: str, answer: str | None = None, given: str = "") -> Done:
        """Run here: quick. With an answer there is a terminal; without one, standard input holds `given`."""
        self._patch.setattr(sys, "argv", ["extauth", *arguments])
        self._patch.setattr(
            sys, "stdin", Stdin(given if answer is None else answer, terminal=answer is not None)
        )
        self._capture.readouterr()
        try:
            main()
            code: object = 0
        except SystemExit as end:
            code = end.code or 0
        assert isinstance(code, int)
        return Done(code, *self._capture.readouterr())

    def spawn(self, *arguments: str) -> Done:
        """Run as an operator does."""
        command = [sys.executable, "-m", "extauth", *arguments]
        done = subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, timeout=30, check=False
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def configure(self, **sections: Any) -> None:
        """Lay sections over the configuration."""
        settings = yaml.safe_load(CONFIG)
        for name, section in sections.items():
            settings[name] = {**settings.get(name, {}), **section}
        (self.folder / "extauth.yaml").write_text(json.dumps(settings))

    def write(self, name: str, *lines: object) -> str:
        """Write a file of JSON lines, and return its name."""
        texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
        (self.folder / name).write_text("".join(f"{text}\n" for text in texts))
        return name

    def in_store(self, work: Callable[[KeyStore], Awaitable[Result]], folder: str = "data") -> Result:
        """Do some work with a store of the folder itself, as a server beside the command line would."""

        async def opened() -> Result:
            async with sqlite_keys(self.folder / folder) as store:
                return await work(store)

        return asyncio.run(opened())

    def ask(self, *keys: str, folder: str = "data", **sections: Any) -> list[int]:
        """Start a server on a store of the folder, ask it with each key, and return its answers' statuses."""

        async def opened() -> list[int]:
            async with open_world(self.folder / folder, clock=SystemClock(), **sections) as world:
                return [(await world.ask(key=key)).status for key in keys]

        return asyncio.run(opened())

    def create(self, user: str = "user-1", *options: str) -> dict[str, Any]:
        """Make a key, and return what was printed for programs."""
        record: dict[str, Any] = self.run(
            "keys", "create", "--user-id", user, "--name", "a key", *options, "--json"
        ).json
        return record


SHOWN = [name for name in RECORD_FIELDS if name != "hashed_key"]


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    """Give a shell in a folder with a configuration and no keys."""
    return Shell(tmp_path, capsys, monkeypatch)
