"""One engine, one image and one stack for the whole folder."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from . import engine as engines
from . import images as made
from .engine import Engine
from .stack import Stack


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """The engine."""
    with engines.running() as engine:
        yield engine


@pytest.fixture(scope="session")
def client(engine: Engine) -> Iterator[Any]:
    """What speaks to the engine."""
    with contextlib.closing(engine.client()) as client:
        yield client


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    """A folder for what is made on the way."""
    path = Path(tempfile.mkdtemp(prefix="extauth-stack-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def images(engine: Engine, client: Any, folder: Path) -> Mapping[str, str]:
    """The names of the images, that of extauth built just now."""
    return made.make(engine, client, folder)


@pytest.fixture(scope="session")
def stack(engine: Engine, client: Any, folder: Path, images: Mapping[str, str]) -> Iterator[Stack]:
    """The stack, started by the very command that users type, and all gone afterwards."""
    stack = Stack(client, {**engine.environment(), **images}, folder)
    try:
        stack.start()
        yield stack
    finally:
        stack.call("down", "--volumes", "--remove-orphans", "--timeout", "3")
