"""The site of the documentation builds without a warning, links to what is there, and loads nothing else."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.docs.consoles import REPOSITORY

# What a browser fetches by itself, by tag and attribute.
_FETCHED = {("script", "src"), ("img", "src"), ("iframe", "src"), ("link", "href"), ("source", "src")}


class _Page(HTMLParser):
    """The ids of a page, where it links to, and what it has a browser fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: set[str] = set()
        self.fetched: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at one tag."""
        for name, value in attrs:
            if name == "id" and value:
                self.ids.add(value)
            if tag == "a" and name == "href" and value:
                self.links.add(value)
            if (tag, name) in _FETCHED and value:
                self.fetched.add(value)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as `make site` builds it: strictly, so that a warning is an error."""
    folder = tmp_path_factory.mktemp("site")
    command = [
        "mkdocs",
        "build",
        "--strict",
        "--config-file",
        "deploy/site/mkdocs.yml",
        "--site-dir",
        str(folder),
    ]
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=REPOSITORY,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, _Page]:
    """All pages of the site, parsed."""
    return {file: _Page(file.read_text(encoding="utf-8")) for file in site.rglob("*.html")}


def test_every_page_of_the_documentation_is_in_it(site: Path) -> None:
    """Those that lie beside what they describe, too."""
    for file in (REPOSITORY / "docs").rglob("*.md"):
        assert (site / file.relative_to(REPOSITORY / "docs")).with_suffix(".html").is_file()
    for name in ("envoy", "nginx", "measuring", "changes"):
        assert (site / "guides" / f"{name}.html").is_file()


def test_every_link_leads_to_a_page_and_a_place_in_it(site: Path, pages: dict[Path, _Page]) -> None:
    """As a browser follows them. The page for what isn't there is shown anywhere: it links absolutely."""
    checked = 0
    for file, page in pages.items():
        for link in page.links if file.name != "404.html" else ():
            address = urlsplit(link)
            if address.scheme:
                continue
            linked = (file.parent / unquote(address.path)).resolve() if address.path else file
            linked = linked / "index.html" if linked.is_dir() else linked
            assert linked.is_relative_to(site), (file, link)
            assert linked.is_file(), (file, link)
            assert not address.fragment or unquote(address.fragment) in pages[linked].ids, (file, link)
            checked += 1
    assert checked > 1000


def test_nothing_is_loaded_from_another_host(site: Path, pages: dict[Path, _Page]) -> None:
    """Neither by a page nor by a style sheet: it works without internet, and tells nobody who reads it."""
    for file, page in pages.items():
        assert not [each for each in page.fetched if urlsplit(each).netloc], file
    for file in site.rglob("*.css"):
        assert list(_elsewhere(file.read_text(encoding="utf-8"))) == [], file


def _elsewhere(style_sheet: str) -> Iterator[str]:
    for address in re.findall(r"url\(([^)]*)\)|@import\s+['\"]([^'\"]*)", style_sheet):
        target = "".join(address).strip("'\"")
        if urlsplit(target).netloc:
            yield target


def test_a_style_sheet_that_loads_from_elsewhere_would_be_found() -> None:
    """Or the test above could not fail."""
    assert list(_elsewhere("a{b:url(https://x.example/f)} @import '//y.example/g'; c{d:url(../own)}")) == [
        "https://x.example/f",
        "//y.example/g",
    ]
