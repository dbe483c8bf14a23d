"""Where peppers come from, and that no mishap ever replaces one silently."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from extauth.errors import ConfigError
from extauth.keys.peppers import PEPPER_FILE, load_peppers
from extauth.keys.token import SHORTEST_PEPPER, Peppers
from tests.keys import PEPPER

OTHER = "another pepper of the tests, also long enough"


def load(
    folder: Path, *, given: tuple[str, ...] = (), file: Path | None = None, empty: bool = True
) -> Peppers:
    """Load peppers as the app does."""
    return load_peppers(given=given, file=file, data_directory=folder, store_is_empty=empty)


def problem_of(folder: Path, **asked: object) -> str:
    """Return why they can't be loaded."""
    with pytest.raises(ConfigError) as caught:
        load(folder, **asked)  # type: ignore[arg-type]  # each test passes what `load` takes
    (problem,) = caught.value.problems
    return problem


def pepper_file(folder: Path, text: str, mode: int = 0o600) -> Path:
    """Make a file that the operator brings."""
    file = folder / "given"
    file.write_text(text)
    file.chmod(mode)
    return file


def test_the_server_makes_its_own_once(tmp_path: Path) -> None:
    """The second start finds what the first made, readable by its owner only, with nothing left beside it."""
    first, second = load(tmp_path), load(tmp_path, empty=False)
    assert first.tag("x") == second.tag("x")
    assert [path.name for path in tmp_path.iterdir()] == [PEPPER_FILE]
    file = tmp_path / PEPPER_FILE
    assert file.stat().st_mode & 0o777 == 0o600
    assert len(bytes.fromhex(file.read_text())) == 32


def test_two_servers_make_different_ones(tmp_path: Path) -> None:
    """A pepper is random."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert load(tmp_path / "a").tag("x") != load(tmp_path / "b").tag("x")


def test_racing_threads_agree_on_one(tmp_path: Path) -> None:
    """Whoever loses the race takes the winner's pepper, whole."""
    barrier, tags = threading.Barrier(8), []

    def start() -> None:
        barrier.wait()
        tags.append(load(tmp_path).tag("x"))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(tags) == 8
    assert len(set(tags)) == 1


_RACER = """
import sys, time
from pathlib import Path
from extauth.keys.peppers import load_peppers
folder = Path(sys.argv[1])
print("ready", flush=True)
while not (folder.parent / "go").exists():
    time.sleep(0)
print(load_peppers(given=[], file=None, data_directory=folder, store_is_empty=True).tag("x"))
"""


def test_racing_processes_agree_on_one(tmp_path: Path) -> None:
    """A server and a command that start at the same moment never tag keys under two peppers."""
    folder = tmp_path / "data"
    folder.mkdir()
    racers = [
        subprocess.Popen([sys.executable, "-c", _RACER, str(folder)], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    (tmp_path / "go").touch()
    tags = {racer.communicate(timeout=10)[0] for racer in racers}
    assert len(tags) == 1
    assert tags == {load(folder).tag("x") + "\n"}
    assert [path.name for path in folder.iterdir()] == [PEPPER_FILE]


def test_what_a_crash_left_behind_is_in_nobodys_way(tmp_path: Path) -> None:
    """A server that was killed while it made its pepper starts again, also where all have one process id."""
    for number in range(3):
        (tmp_path / f".{PEPPER_FILE}.{number}").write_text("half a pep")
    assert load(tmp_path).tag("x")


def test_a_lost_pepper_is_not_replaced_while_keys_exist(tmp_path: Path) -> None:
    """A new one would silently make every key invalid; the message says what to do, and nothing is made."""
    problem = problem_of(tmp_path, empty=False)
    assert problem.startswith(f"{tmp_path / PEPPER_FILE} is missing")
    assert "restore it" in problem
    assert list(tmp_path.iterdir()) == []


def test_given_peppers_win_and_no_file_is_made(tmp_path: Path) -> None:
    """The settings come first, newest pepper first."""
    peppers = load(tmp_path, given=(OTHER, PEPPER), file=tmp_path / "unused", empty=False)
    assert peppers.tag("x") == Peppers([OTHER]).tag("x")
    peppers.verify("x", Peppers([PEPPER]).tag("x"))
    assert list(tmp_path.iterdir()) == []


def test_a_file_holds_one_pepper_a_line(tmp_path: Path) -> None:
    """Newest first, blank lines don't matter."""
    first, second = "1" * SHORTEST_PEPPER, "2" * SHORTEST_PEPPER
    peppers = load(tmp_path, file=pepper_file(tmp_path, f"{first}\n\n{second}\n"), empty=False)
    assert peppers.tag("x") == Peppers([first]).tag("x")
    peppers.verify("x", Peppers([second]).tag("x"))


@pytest.mark.parametrize("mode", [0o620, 0o604, 0o602, 0o660, 0o644, 0o666])
def test_a_file_that_others_may_read_or_write_is_refused(tmp_path: Path, mode: int) -> None:
    """Who reads the pepper can make tags, who writes it can replace it."""
    problem = problem_of(tmp_path, file=pepper_file(tmp_path, "1" * SHORTEST_PEPPER, mode))
    assert problem.startswith(f"keys.peppers_file: {tmp_path / 'given'}: others may read or write this file;")


def test_the_servers_own_file_is_its_owners_alone(tmp_path: Path) -> None:
    """Nobody mounts that one: a group that may read it is a slip."""
    load(tmp_path)
    (tmp_path / PEPPER_FILE).chmod(0o640)
    assert "readable by its owner only" in problem_of(tmp_path)


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o440, 0o640])
def test_a_file_that_was_given_may_be_read_by_its_group(tmp_path: Path, mode: int) -> None:
    """Orchestrators mount secrets for a group of their own, and not to be written."""
    assert load(tmp_path, file=pepper_file(tmp_path, "1" * SHORTEST_PEPPER, mode)).tag("x")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1" * (SHORTEST_PEPPER - 1), "a pepper needs at least 32 characters"),
        ("1" * SHORTEST_PEPPER + "\nshort", "a pepper needs at least 32 characters"),
        ("", "holds no pepper"),
        ("\n \n", "holds no pepper"),
        (
            f"{'1' * SHORTEST_PEPPER}\n{'2' * SHORTEST_PEPPER}\n{'1' * SHORTEST_PEPPER}",
            "a pepper is listed twice",
        ),
    ],
)
def test_files_without_good_peppers_are_refused(tmp_path: Path, text: str, reason: str) -> None:
    """Fewer than 128 bits could be guessed, and one that is there twice is a slip of whoever rotates it.

    The message names the field and the file, never what is in it.
    """
    said = f"keys.peppers_file: {tmp_path / 'given'}: {reason}"
    assert problem_of(tmp_path, file=pepper_file(tmp_path, text)) == said


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    """Bytes that are no UTF-8 are a mistake, not a pepper."""
    file = pepper_file(tmp_path, "")
    file.write_bytes(b"\xff" * 64)
    assert problem_of(tmp_path, file=file) == f"keys.peppers_file: {file}: not UTF-8 text"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """Also where it went away after the settings were checked."""
    said = f"keys.peppers_file: {tmp_path / 'gone'}: No such file or directory"
    assert problem_of(tmp_path, file=tmp_path / "gone") == said


def test_a_folder_that_takes_no_file_is_named(tmp_path: Path) -> None:
    """A fault of the disk is told, not thrown at the operator."""
    assert problem_of(tmp_path / "none").startswith(f"{tmp_path / 'none' / PEPPER_FILE}: can't be made:")
