"""One Chromium and one service for all tests here; each test has browser profiles of its own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, sync_playwright

from .scene import Scene
from .visitor import Theme, Visitor

# Screenshots are kept here, for people to look at.
ARTEFACTS = Path(__file__).resolve().parents[2] / ".artefacts" / "browser"


# Of the package, not of the session: while Playwright runs, no other test can run an event loop of its own.
@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """Give Debian's Chromium, without a window."""
    program = shutil.which("chromium")
    assert program, "Chromium is missing: apt-get install chromium"
    # Its sandbox can't be set up by root.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Give a service with keys and traffic."""
    scene = Scene(tmp_path_factory.mktemp("dashboard"))
    try:
        scene.fill()
        yield scene
    finally:
        scene.close()


Arrive = Callable[..., Visitor]


@pytest.fixture
def arrive(chromium: Browser, scene: Scene) -> Iterator[Arrive]:
    """Give a way to open browser profiles; afterwards nothing may have been complained of by any of them."""
    visitors: list[Visitor] = []

    def open_one(*, theme: Theme = "light", width: int = 1280) -> Visitor:
        visitors.append(Visitor(chromium, scene.address, theme=theme, width=width))
        return visitors[-1]

    yield open_one
    for visitor in visitors:
        visitor.close()
    assert [complaint for visitor in visitors for complaint in visitor.complaints()] == []
    assert {host for visitor in visitors for host in visitor.hosts} <= {urlsplit(scene.address).netloc}
