"""`extauth completion`: the scripts, and that shells get answers from them."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.shell import Done, Shell


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_each_shell_has_its_script(shell: Shell, name: str) -> None:
    """It asks `extauth` itself, so that it never goes out of date."""
    done = shell.run("completion", name)
    assert (done.code, done.err) == (0, "")
    assert f"_EXTAUTH_COMPLETE={name}_complete" in done.out


def test_another_shell_is_told(shell: Shell) -> None:
    """As wrong usage, with those that there are."""
    done = shell.run("completion", "csh")
    assert (done.code, done.out) == (2, "")
    assert "'bash', 'zsh', 'fish'" in done.err


def test_the_script_is_taken_by_bash(shell: Shell) -> None:
    """It has no mistake, and defines the completion."""
    script = shell.run("completion", "bash").out + "\ncomplete -p extauth\n"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "_extauth_completion" in done.stdout


def test_a_shell_gets_commands_and_options(shell: Shell) -> None:
    """As the script asks for them."""

    def complete(words: str, position: int) -> set[str]:
        asked = {"_EXTAUTH_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(position)}
        code = "import sys; sys.argv[0] = 'extauth'; from extauth.cli.main import main; main()"
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, **asked},
            cwd=shell.folder,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.stderr == ""
        return {line.partition(",")[2] for line in done.stdout.splitlines()}

    assert complete("extauth keys r", 2) == {"reset-limits", "revoke", "rotate"}
    assert "--quota" in complete("extauth keys update --", 3)
    assert "--grace" in complete("extauth keys rotate --", 3)


def test_completion_needs_no_configuration(shell: Shell) -> None:
    """A shell starts with it, whatever the state of the settings."""
    (shell.folder / "extauth.yaml").write_text("nonsense: [")
    assert shell.run("completion", "bash") != Done(1, "", "")
    assert shell.run("completion", "bash").code == 0
