"""The command that starts the stack in containers, as far as it goes without an engine."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.deploy.cluster import REPOSITORY

SCRIPT = REPOSITORY / "deploy" / "stack.sh"


def demo(script: Path, **variables: str) -> str:
    """Start the stack where no engine can be found, and return the one line that says why not."""
    # The user is given, because else the engine is asked.
    environment = {**os.environ, "STACK_USER": "1:1", "DOCKER_HOST": "unix:///nowhere", **variables}
    done = subprocess.run(
        ["bash", str(script), "demo"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode != 0
    (said,) = done.stderr.splitlines()
    return said


def test_a_secret_that_cant_be_made_ends_it() -> None:
    """At the first mistake: containers without secrets would only wait until the time is over."""
    assert "/proc/no-such-folder" in demo(SCRIPT, STACK_SECRETS="/proc/no-such-folder")


@pytest.mark.parametrize("written", ["{}", '"{}"', "{} # a comment"])
def test_it_goes_by_the_file_that_compose_reads(tmp_path: Path, written: str) -> None:
    """`.env` beside it: else it would make other secrets than are mounted. The environment goes first."""
    script = Path(shutil.copy(SCRIPT, tmp_path))
    (tmp_path / ".env").write_text(
        f"# Ours.\nENVOY_PORT=18080\nSTACK_SECRETS={written.format('/proc/of-the-file')}\n"
    )
    assert "/proc/of-the-file" in demo(script)
    assert "/proc/given" in demo(script, STACK_SECRETS="/proc/given")
