"""The page that all pages begin with, as far as its text alone shows."""

from __future__ import annotations

import re
from pathlib import Path

import extauth.dashboard

STATIC = Path(extauth.dashboard.__file__).parent / "static"
SHELL = (STATIC / "index.html").read_text()
_PREFIX = "/dashboard/static/"


def test_all_that_the_shell_names_is_there() -> None:
    """No stylesheet, script or picture is missing."""
    named = re.findall(rf'(?:href|src)="{_PREFIX}([^"]+)"', SHELL)
    assert named
    assert [name for name in named if not (STATIC / name).is_file()] == []


def test_modules_that_every_page_needs_are_loaded_at_once() -> None:
    """All modules but those of single pages are asked for from the start, none after another one named it."""
    parts = {path.relative_to(STATIC).as_posix() for path in (STATIC / "js").rglob("*.js")}
    of_pages = {name for name in parts if name.startswith("js/pages/")}
    preloaded = set(re.findall(rf'rel="modulepreload" href="{_PREFIX}([^"]+)"', SHELL))
    begun = {"js/app.js", "js/theme.js"}
    assert preloaded == parts - of_pages - begun | {"vendor/uplot/uPlot.esm.js"}


def test_nothing_comes_from_another_host() -> None:
    """Neither markup nor styles nor scripts of ours name an address elsewhere, but a namespace of SVG."""
    ours = [path for path in STATIC.rglob("*") if path.suffix in {".html", ".css", ".js", ".svg"}]
    found = {
        match
        for path in ours
        if "vendor" not in path.parts
        for match in re.findall(r"https?://[\w.]+|url\(", path.read_text())
    }
    assert found == {"http://www.w3.org"}


def test_no_markup_is_made_of_data() -> None:
    """No script of ours turns text into markup or code, nor does the chart library."""
    sinks = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function")
    assert [path.name for path in STATIC.rglob("*.js") if sinks.search(path.read_text())] == []


def test_files_are_short() -> None:
    """No file of ours has more lines than one can read at once."""
    ours = [path for path in STATIC.rglob("*") if path.is_file() and "vendor" not in path.parts]
    assert [path.name for path in ours if len(path.read_text().splitlines()) > 350] == []
