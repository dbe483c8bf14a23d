"""The demo's directory: what isn't the demo's is never touched, and two demos never share one."""

from __future__ import annotations

from pathlib import Path

import pytest

from extauth.demo.errors import DemoError
from extauth.demo.folder import demo_directory, store_file


def test_a_new_directory_is_made(tmp_path: Path) -> None:
    """Nobody has to prepare anything; the store's folder is closed to other users."""
    with demo_directory(tmp_path / "new" / "demo") as directory:
        assert directory == tmp_path / "new" / "demo"
        assert store_file(directory).parent.stat().st_mode & 0o777 == 0o700


def test_files_of_somebody_else_are_left_alone(tmp_path: Path) -> None:
    """A directory with files that no demo wrote is refused, unchanged, with what to do."""
    (tmp_path / "thesis.tex").touch()
    with (
        pytest.raises(DemoError, match="not of a demo; name another with --directory"),
        demo_directory(tmp_path),
    ):
        pass
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.tex"]


def test_only_the_last_store_is_cleared(tmp_path: Path) -> None:
    """Each demo starts without keys; whatever else lies in its directory stays."""
    with demo_directory(tmp_path) as directory:
        store = store_file(directory).parent
        left_behind = [
            store_file(directory),
            store / "extauth.db-wal",
            store / "extauth.db-shm",
            store / "extauth-limits.db",
            store / "pepper",
        ]
        others = [directory / "notes.txt", store / "notes.txt"]
        for file in (*left_behind, *others):
            file.touch()
    with demo_directory(tmp_path):
        assert not any(file.exists() for file in left_behind)
        assert all(file.exists() for file in others)


def test_a_directory_in_use_is_refused(tmp_path: Path) -> None:
    """A second demo can't clear the store of the first; after its end the directory is free again."""
    with demo_directory(tmp_path) as directory:
        store_file(directory).touch()
        with pytest.raises(DemoError, match=f"another demo uses {tmp_path}"), demo_directory(tmp_path):
            pass
        assert store_file(directory).exists()
    with demo_directory(tmp_path):
        pass


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    """The message names the place and the reason instead of showing a traceback."""
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(DemoError, match=f"can't use {file}: File exists"), demo_directory(file):
        pass
