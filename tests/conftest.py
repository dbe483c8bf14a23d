"""What all tests share: how much hypothesis tries, what is collected, and a clock that tests move."""

from __future__ import annotations

import gc
import os
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from tests.fakes import FakeClock

# No deadline: machines that run this are small and shared, and a slow example is not a wrong one. Fixtures
# are given once for all examples of a test, which the tests that use both allow for.
_HERE = hypothesis_settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
hypothesis_settings.register_profile("here", _HERE)
# The same examples each time, so that a change is never blamed for what it didn't do.
hypothesis_settings.register_profile("ci", _HERE, derandomize=True)
hypothesis_settings.load_profile("ci" if os.environ.get("CI") else "here")


# What takes longest begins first: else one process is still at it when the others have nothing left to do.
_FIRST = (
    "sockets/test_memory.py",
    "browser",
    "nodes/test_workers.py",
    "nodes/test_reload.py",
    "inflight/test_real.py",
    "docs",
    "integration",
)
_ROOT = Path(__file__).parent


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Set modules and tests aside, which live as long as the process: no full collection looks at them then.

    They are most of all objects, and to look at them again and again took a sixth of the time.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        # So that nothing is set aside in which there is something to warn of.
        gc.collect()
        gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests into the order in which processes get their files; within a file they keep theirs."""
    items.sort(key=lambda item: _rank(item.path))


def _rank(path: Path) -> int:
    inside = path.relative_to(_ROOT)
    return next((rank for rank, name in enumerate(_FIRST) if inside.is_relative_to(name)), len(_FIRST))


@pytest.fixture
def clock() -> FakeClock:
    """Give a clock that stands still until it is moved."""
    return FakeClock()
