"""The pages for consumers: well-formed, linked, readable by everybody, with nothing but what they need."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise

import pytest

from extauth.admin.problems import AdminCode
from extauth.docs.problems import ADMIN_EXPLANATIONS, EXPLANATIONS
from extauth.docs.site import CLIENT, PROBLEM_FOLDER, style, style_name
from extauth.model import Code
from tests.consumers.sites import CONFIGURATIONS, Document, documents, links_of, site_of

SITES = {name: documents(site_of(sections)) for name, sections in CONFIGURATIONS.items()}
Pages = Mapping[str, Document]
ALL = {
    f"{name}: {path or 'index'}": (pages, page)
    for name, pages in SITES.items()
    for path, page in pages.items()
}
every_page = pytest.mark.parametrize("page", [page for _, page in ALL.values()], ids=ALL)
every_page_of_a_site = pytest.mark.parametrize(("pages", "page"), ALL.values(), ids=ALL)


def test_all_pages_are_looked_at() -> None:
    """The tests below would pass with nothing to look at."""
    codes = {f"{PROBLEM_FOLDER}{code}" for code in [*EXPLANATIONS, *AdminCode]}
    for name, pages in SITES.items():
        routes = set() if name == "routes hidden" else {"routes"}
        named = {"", "authentication", "limits", "headers", "problems/", "backing-off", "rotation", *routes}
        assert pages.keys() == named | codes | {"problems/authorization_unavailable"}


@every_page_of_a_site
def test_links_lead_somewhere(pages: Pages, page: Document) -> None:
    """To a page that is there, and to an anchor that it has."""
    for link in links_of(page):
        if link.path not in {style_name(), CLIENT.file}:
            assert not link.anchor or link.anchor in pages[link.path].ids, link


@every_page_of_a_site
def test_a_page_can_be_read_without_seeing_it(pages: Pages, page: Document) -> None:
    """Landmarks, headings in order and none left out, a link past the navigation, and where one is in it."""
    assert [len(page.all(name)) for name in ("header", "nav", "main", "footer", "h1")] == [1] * 5
    levels = [int(element.tag[1]) for element in page.elements if re.fullmatch("h[1-6]", element.tag)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert page.root.attrib["lang"] == "en"
    skip = page.all("a")[0]
    assert (skip.attrib["href"], page.all("main")[0].attrib["id"]) == ("#content", "content")
    here = [element for element in page.all("a") if element.attrib.get("aria-current") == "page"]
    assert len(here) == (page.path in _listed(pages))


def _listed(pages: Pages) -> set[str]:
    """Return the pages that stand in the navigation."""
    return {path for path in pages if path == PROBLEM_FOLDER or not path.startswith(PROBLEM_FOLDER)}


@every_page
def test_what_scrolls_can_be_reached_by_keyboard(page: Document) -> None:
    """Code and tables that are wider than the window have focus and a name."""
    wide = [
        element for element in page.elements if element.tag == "pre" or element.attrib.get("class") == "wide"
    ]
    assert all(element.attrib["tabindex"] == "0" and element.attrib["aria-label"] for element in wide)
    assert all(element.attrib["scope"] in {"row", "col"} for element in page.all("th"))


@every_page
def test_ids_are_unique_and_labels_name_one(page: Document) -> None:
    """Each section is labelled by a heading that it has."""
    assert len(page.ids) == len(set(page.ids))
    labels = {element.attrib["aria-labelledby"] for element in page.all("section")}
    assert labels <= set(page.ids)


@every_page
def test_a_page_runs_nothing_and_loads_only_its_style(page: Document) -> None:
    """What the policy in the header forbids isn't there in the first place."""
    tags = {element.tag for element in page.elements}
    assert not tags & {
        "script",
        "style",
        "iframe",
        "img",
        "object",
        "embed",
        "form",
        "base",
        "svg",
        "template",
    }
    attributes = {name for element in page.elements for name in element.attrib}
    assert not {name for name in attributes if name.startswith("on") or name in {"style", "src", "srcset"}}
    (style_sheet,) = page.all("link")
    assert style_sheet.attrib["href"].endswith(style_name())


@every_page
def test_a_page_says_what_it_is(page: Document) -> None:
    """By its title, and on a phone at its width."""
    title = "".join(page.all("title")[0].itertext())
    assert title.partition(" · ")[0]
    metas = [element.attrib for element in page.all("meta")]
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in metas


@pytest.mark.parametrize("code", [code for code in Code if code is not Code.ALLOWED])
def test_each_code_has_its_page(code: Code) -> None:
    """With cause, advice, and an example that has the code."""
    page = SITES["nothing"][PROBLEM_FOLDER + code]
    cause, advice = (text.replace("`", "") for text in EXPLANATIONS[code][:2])
    assert cause in page.text
    assert advice in page.text
    assert f'"code": "{code}"' in page.text


@pytest.mark.parametrize("code", list(AdminCode))
def test_each_code_of_the_admin_api_has_its_page(code: AdminCode) -> None:
    """Beside what the same code means to consumers, where they get it too."""
    page = SITES["nothing"][PROBLEM_FOLDER + code]
    assert ADMIN_EXPLANATIONS[code].cause.replace("`", "") in page.text
    assert "from the admin API" in page.text
    assert ("from the API" in page.text) == (code.value in {*Code})


def test_what_is_for_operators_is_not_shown_to_consumers() -> None:
    """Their notes name settings and metrics."""
    notes = [each.for_operators for each in (*EXPLANATIONS.values(), *ADMIN_EXPLANATIONS.values())]
    texts = [page.text for page in SITES["rich"].values()]
    assert not [note for note in notes if note and any(note.replace("`", "") in text for text in texts)]
    assert not [text for text in texts if "internal name" in text]


@pytest.mark.parametrize("path", ["nowhere", "problems/nowhere", "a/b/c/", "authentication/", "routes/x"])
def test_a_page_that_is_not_there_says_what_is(path: str) -> None:
    """404, with links that work from where the reader is."""
    page = site_of({}).make(path)
    assert page.status == 404
    missing = Document(path, page.body.decode())
    assert {link.path for link in links_of(missing)} >= _listed(SITES["nothing"])


def test_a_deep_path_costs_no_long_page() -> None:
    """Each step would make each link longer, and whoever asks chooses how many there are."""
    assert len(site_of({}).make("x/" * 20_000).body) < 10_000


def test_colours_can_be_read() -> None:
    """Text has a contrast of 4.5 to 1 at least (WCAG 2.2, success criterion 1.4.3), in light and dark."""
    light, dark = re.findall(r":root \{(.*?)\}", style(), re.DOTALL)
    for scheme in (light, dark):
        colours = dict(re.findall(r"--([a-z]+): (#[0-9a-f]{6});", scheme))
        assert colours.keys() == {"text", "quiet", "back", "raised", "line", "link", "here"}
        for text in ("text", "quiet", "link"):
            for ground in ("back", "raised", "here"):
                assert _contrast(colours[text], colours[ground]) >= 4.5, (text, ground)


def _contrast(one: str, other: str) -> float:
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    """Return the relative luminance as WCAG defines it."""
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_the_style_loads_nothing() -> None:
    """No font and no picture, from here or elsewhere."""
    assert not re.search(r"url\(|@import|@font-face", style())
