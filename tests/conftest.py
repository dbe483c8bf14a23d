"""What all tests share: how much hypothesis tries, and a clock that tests move."""

from __future__ import annotations

import os

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


@pytest.fixture
def clock() -> FakeClock:
    """Give a clock that stands still until it is moved."""
    return FakeClock()
