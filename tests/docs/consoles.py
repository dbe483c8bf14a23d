"""Runs the marked console blocks of a page, and compares what they print with what stands there.

`<!-- run -->` before a console block marks it, `<!-- run: STAGE -->` for one stage of a page, and
`<!-- file: NAME -->` before any block makes a file of it. In what is printed `…` stands for any text, and
alone on a line for any lines. A command without printed lines need only succeed.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

REPOSITORY = Path(__file__).resolve().parents[2]
_MARKED = re.compile(r"^<!-- (run|file)(?:: (\S+))? -->\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_END = "--- ended with"
# What only looks may be asked again until it sees what is on its way, such as a reload.
_LOOKS = ("curl ", "grep ", "extauth bans offenders")
_PATIENCE = 10.0


class Step(NamedTuple):
    """One command, and what it prints."""

    command: str
    printed: str


def steps(page: str, stage: str | None = None) -> list[Step]:
    """Return the commands of a page's marked blocks, in order: of one stage, or of those that name none."""
    wanted = ("run", stage or "")
    blocks = [text for kind, name, text in _MARKED.findall(_read(page)) if (kind, name) == wanted]
    return [step for block in blocks for step in _steps_of(block)]


def files(page: str) -> Mapping[str, str]:
    """Return the files that a page has its reader write, by name."""
    return {name: text for kind, name, text in _MARKED.findall(_read(page)) if kind == "file"}


def _read(page: str) -> str:
    return (REPOSITORY / "docs" / page).read_text(encoding="utf-8")


def _steps_of(block: str) -> Iterator[Step]:
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, printed = part.partition("\n")
        yield Step(command, printed)


class Terminal:
    """A bash in a folder, where `extauth` is this version. `known` says what texts of pages are here."""

    def __init__(self, folder: Path, known: Mapping[str, str]) -> None:
        self._folder = folder
        self._known = known
        programs = folder / "bin"
        programs.mkdir()
        program = programs / "extauth"
        program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m extauth "$@"\n')
        program.chmod(0o755)
        path = [str(programs), sysconfig.get_path("scripts"), os.environ["PATH"], "/usr/sbin"]
        search = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH", "")]))
        kept = {name: value for name, value in os.environ.items() if not name.startswith("EXTAUTH")}
        self.environment = {**kept, "PATH": os.pathsep.join(path), "PYTHONPATH": search, "COLUMNS": "200"}

    def __enter__(self) -> Self:
        self._bash = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=self._folder,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # What it leaves in the background ends with it.
            start_new_session=True,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.killpg(self._bash.pid, signal.SIGTERM)
        self._bash.communicate()

    def write(self, page_files: Mapping[str, str]) -> None:
        """Write the files of a page."""
        for name, text in page_files.items():
            (self._folder / name).write_text(self.here(text))

    def run(self, step: Step) -> None:
        """Run a command; an AssertionError shows what it printed instead of what it should."""
        command, pattern = self.here(step.command), _pattern(self.here(step.printed))
        patient_until = time.monotonic() + (_PATIENCE if command.startswith(_LOOKS) else 0)
        while True:
            code, printed = self.ask(command)
            fits = code == 0 and (not step.printed or pattern.fullmatch(printed) is not None)
            if fits or time.monotonic() > patient_until:
                break
            time.sleep(0.1)
        assert fits, (
            f"$ {command}\nexit code {code}, printed:\n{printed}\ninstead of:\n{self.here(step.printed)}"
        )

    def ask(self, command: str) -> tuple[int, str]:
        """Run a command as it is, and return its exit code and what it printed."""
        assert self._bash.stdin is not None
        assert self._bash.stdout is not None
        # Input is closed, so that nothing reads the commands that follow.
        self._bash.stdin.write(f"{{ {command}\n}} </dev/null\nended=$?; echo; echo '{_END}' $ended\n")
        self._bash.stdin.flush()
        lines: list[str] = []
        for line in self._bash.stdout:
            if line.startswith(_END):
                return int(line.removeprefix(_END)), "".join(lines).rstrip("\n") + "\n"
            lines.append(line.rstrip() + "\n")
        raise AssertionError(f"the shell ended at: {command}\n{''.join(lines)}")

    def here(self, text: str) -> str:
        """Return a text of a page with the ports, ids and addresses that things have here."""
        for there, here in self._known.items():
            text = text.replace(there, here)
        return text


def _pattern(printed: str) -> re.Pattern[str]:
    lines = [
        r"(?:.*\n)*?" if line == "…" else re.escape(line).replace("…", ".*") + r"\n"
        for line in printed.rstrip("\n").splitlines()
    ]
    return re.compile("".join(lines))
