"""What most tests of the manifests look at."""

from __future__ import annotations

import pytest

from tests.deploy.cluster import OVERLAYS, Object, overlay


@pytest.fixture(params=OVERLAYS)
def objects(request: pytest.FixtureRequest) -> tuple[Object, ...]:
    """The objects of one overlay after the other."""
    return overlay(request.param)
