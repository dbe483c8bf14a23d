"""One patient and one impatient server for the whole folder, each the real program."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from .client import Client
from .service import Keys, Service

_COLD_KEYS = 200


@contextlib.contextmanager
def running(service: Service) -> Iterator[Service]:
    """Run a service for as long as the block lasts."""
    service.start()
    try:
        yield service
    finally:
        service.stop()


@pytest.fixture(scope="session")
def session_folder() -> Iterator[Path]:
    """A folder with a short path, because the path of a unix socket must be short."""
    path = Path(tempfile.mkdtemp(prefix="extauth-sockets-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def folder(session_folder: Path) -> Path:
    """A folder for one test."""
    return Path(tempfile.mkdtemp(dir=session_folder))


@pytest.fixture(scope="session")
def service(session_folder: Path) -> Iterator[Service]:
    """A server with the time-outs that operators get: nothing in a test lasts long enough to meet them."""
    folder = Path(tempfile.mkdtemp(dir=session_folder))
    with running(Service(folder, cold=_COLD_KEYS)) as service:
        yield service


@pytest.fixture(scope="session")
def impatient(session_folder: Path) -> Iterator[Service]:
    """A server that waits one second for heads and idle connections, and that holds 50 connections."""
    folder = Path(tempfile.mkdtemp(dir=session_folder))
    listen = "head_timeout: 1s, idle_timeout: 1s, max_connections: 50"
    with running(Service(folder, listen=listen)) as service:
        yield service


@pytest.fixture
def keys(service: Service) -> Keys:
    """The keys of the patient server."""
    return service.keys


@pytest.fixture
def client(service: Service) -> Iterator[Client]:
    """A connection to the patient server, and the certainty that it serves others afterwards."""
    with Client(service.address) as client:
        yield client
    service.assert_healthy()
