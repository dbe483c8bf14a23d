"""What the settings hold stands on the pages for consumers as text, and never as HTML."""

from __future__ import annotations

import string
from collections.abc import Mapping
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from extauth.settings.model import Settings
from tests.consumers.sites import Document, site_of

# What could end a text, an attribute or a tag, beside letters.
_HOSTILE = "<>&'`{}%#/=;!- ab"
_PAGES = ("", "authentication", "routes", "problems/missing_key", "nowhere")
_QUOTED = st.text("".join(set(_HOSTILE) | {"x"}), min_size=1, max_size=20).filter(str.strip)
_TITLES = st.text(_HOSTILE + '"\\üß', min_size=1, max_size=30).filter(str.strip)
_SEGMENTS = st.text("ab!$&'()*+,=:@[]", min_size=1, max_size=12).filter(lambda text: "*" not in text)
_ROUTES = st.builds(
    lambda segments, name: {"path": "/" + "/".join(segments), "name": name},
    st.lists(_SEGMENTS, min_size=1, max_size=3),
    _QUOTED,
)


def shape(document: Document) -> list[tuple[str, tuple[str, ...]]]:
    """Return the elements of a page with the names of their attributes: what texts must not change."""
    return [(str(element.tag), tuple(element.attrib)) for element in document.elements]


def harmless(text: str) -> str:
    """Return a text of the same length that means nothing to a browser."""
    return "".join(char if char in string.ascii_letters + "/" else "x" for char in text)


def shapes(**sections: Any) -> dict[str, list[tuple[str, tuple[str, ...]]]]:
    """Return the shapes of the pages."""
    return {path: shape(page) for path, page in pages_of(sections).items()}


def pages_of(sections: Mapping[str, Any]) -> dict[str, Document]:
    """Return the pages that show texts of the settings, each in all the places where one can stand."""
    site = site_of(sections)
    return {path: Document(path, site.make(path).body.decode()) for path in _PAGES}


@settings(max_examples=40)
@given(title=_TITLES, realm=_QUOTED, routes=st.lists(_ROUTES, max_size=2))
def test_no_text_of_the_settings_becomes_html(title: str, realm: str, routes: list[dict[str, str]]) -> None:
    """All pages keep their elements and attributes, and show the text as it is."""
    sections = {"docs": {"title": title}, "credentials": {"realm": realm}, "routes": routes}
    tame = {
        "docs": {"title": harmless(title)},
        "credentials": {"realm": harmless(realm)},
        "routes": [{"path": harmless(route["path"]), "name": "x"} for route in routes],
    }
    assert Settings.model_validate(sections).credentials.realm == realm
    assert shapes(**sections) == shapes(**tame)
    pages = pages_of(sections)
    assert " ".join(title.split()) in pages["nowhere"].text
    assert " ".join(realm.split()) in pages["authentication"].text
    for route in routes:
        assert route["path"] in pages["routes"].text
