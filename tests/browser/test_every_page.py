"""Every page, in both themes and on a phone: nothing that axe objects to, nothing too wide, and a picture."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from tests.integration.processes import wait_until

from .conftest import ARTEFACTS
from .scene import OTHER_USER, STRANGER, USER, Scene
from .visitor import Visitor

pytestmark = pytest.mark.servers

_LABELS = """[...document.querySelectorAll('.folds td')]
  .map(cell => getComputedStyle(cell, '::before').whiteSpace)"""
# Tables that reach into the padding of the box around them.
_OVER_THE_EDGE = """[...document.querySelectorAll('.card .table')].filter(table => {
  const room = table.parentElement.getBoundingClientRect();
  return !table.closest('.scroll') && table.getBoundingClientRect().right > room.right + 1;
}).map(table => table.caption.textContent)"""
_PHONE = {"width": 360, "height": 740}
_DESK = {"width": 1280, "height": 800}
# Wide tables can be scrolled, but nobody sees that they can.
_CUT_OFF = """[...document.querySelectorAll('.wide')]
  .filter(place => place.scrollWidth > place.clientWidth).map(place => place.textContent)"""
_DOCUMENTATION = (
    "",
    "authentication",
    "routes",
    "limits",
    "headers",
    "problems/",
    "problems/rate_limited",
    "backing-off",
    "rotation",
)
_CONSUMER = {"overview": "/", "keys": "/keys", "key": "/keys/{export}", "usage": "/usage"}
_OPERATOR = {
    "overview": "/",
    "keys": "/keys",
    "search": f"/keys?q={USER[:3]}",
    "key": "/keys/{export}",
    "user": f"/users/{OTHER_USER}",
    "traffic": "/usage",
    "limits": "/limits",
    "bans": "/bans",
    "audit": "/audit",
    "system": "/system",
    "not-found": "/nothing",
}


@pytest.fixture(scope="module")
def consumer(chromium: Browser, scene: Scene) -> Iterator[Visitor]:
    """Give a consumer who is signed in."""
    visitor = Visitor(chromium, scene.address)
    visitor.sign_in(scene.laptop["key"])
    yield visitor
    visitor.close()


@pytest.fixture(scope="module")
def operator(chromium: Browser, scene: Scene) -> Iterator[Visitor]:
    """Give an operator who is signed in, while somebody is banned."""
    scene.admin("POST", "/bans", {"subject": "198.51.100.7", "lasts": "24h", "reason": "scans for keys"})
    # Servers tell every few seconds who fails.
    wait_until(lambda: STRANGER in str(scene.admin("GET", "/abuse/offenders")), within=20, what="it is known")
    visitor = Visitor(chromium, scene.address)
    visitor.sign_in(scene.operator["key"])
    yield visitor
    visitor.close()


@pytest.mark.parametrize("name", _CONSUMER)
def test_consumers_pages(consumer: Visitor, scene: Scene, name: str) -> None:
    """A consumer's page is accessible, and no wider than the screen."""
    _examine(consumer, f"consumer-{name}", _CONSUMER[name].format(export=scene.export["key_id"]))


@pytest.mark.parametrize("name", _OPERATOR)
def test_operators_pages(operator: Visitor, scene: Scene, name: str) -> None:
    """An operator's page is accessible, and no wider than the screen."""
    _examine(operator, f"operator-{name}", _OPERATOR[name].format(export=scene.export["key_id"]))


def test_the_sign_in(chromium: Browser, scene: Scene) -> None:
    """The sign-in is accessible, also while it says that a key is wrong."""
    visitor = Visitor(chromium, scene.address)
    _examine(visitor, "sign-in", "/")
    visitor.page.get_by_label("API key").fill("xa_live_wrong")
    visitor.press("Sign in")
    visitor.sees("This key is not valid")
    assert _objections(visitor.page) == []
    visitor.close()


@pytest.mark.parametrize("name", _DOCUMENTATION)
def test_pages_for_those_who_use_the_api(chromium: Browser, scene: Scene, name: str) -> None:
    """A page of the documentation is accessible, and on a phone no table of it is cut off."""
    for theme in ("light", "dark"):
        context = chromium.new_context(
            viewport=_DESK,  # type: ignore[arg-type]  # a mapping of these two
            color_scheme=theme,
            # Its policy lets no script of the page's own run, which is what looks for objections.
            bypass_csp=True,
        )
        page = context.new_page()
        page.goto(f"{scene.address}/docs/{name}")
        assert _objections(page) == []
        _picture(page, f"documentation-{name.strip('/').replace('/', '-') or 'overview'}-{theme}")
        page.set_viewport_size(_PHONE)  # type: ignore[arg-type]  # a mapping of these two
        assert page.evaluate(_CUT_OFF) == []
        context.close()


@pytest.mark.parametrize("name", ["New key", "Ban somebody", "Stop…"])
def test_dialogs(operator: Visitor, scene: Scene, name: str) -> None:
    """A dialog is accessible in both themes."""
    pages = {"New key": "/keys", "Ban somebody": "/bans", "Stop…": f"/keys/{scene.export['key_id']}"}
    operator.page.set_viewport_size(_DESK)  # type: ignore[arg-type]  # a mapping of these two
    operator.go(pages[name])
    operator.page.get_by_text(name, exact=True).first.click()
    for theme in ("light", "dark"):
        _turn(operator, theme)
        assert _objections(operator.page) == []
        _picture(operator.page, f"dialog-{name.lower().replace(' ', '-').strip('…')}-{theme}")


def _examine(visitor: Visitor, name: str, path: str) -> None:
    visitor.page.set_viewport_size(_DESK)  # type: ignore[arg-type]  # a mapping of these two
    _turn(visitor, "light")
    visitor.go(path)
    visitor.until("!document.querySelector('.waiting')")
    assert _objections(visitor.page) == []
    _picture(visitor.page, f"{name}-light")
    assert visitor.page.evaluate(_OVER_THE_EDGE) == []
    _turn(visitor, "dark")
    # All else is as it was in the light.
    assert _objections(visitor.page, "color-contrast") == []
    _picture(visitor.page, f"{name}-dark")
    visitor.page.set_viewport_size(_PHONE)  # type: ignore[arg-type]  # a mapping of these two
    # Charts are drawn anew with the next frame, which a busy machine may be late with.
    visitor.until(f"document.documentElement.scrollWidth <= {_PHONE['width']}")
    assert _objections(visitor.page) == []
    # The name of a column may take several lines beside its number, and must not run into it.
    assert set(visitor.page.evaluate(_LABELS)) <= {"normal"}
    _picture(visitor.page, f"{name}-phone")


def _turn(visitor: Visitor, theme: str) -> None:
    visitor.page.emulate_media(color_scheme="dark" if theme == "dark" else "light", reduced_motion="reduce")
    if visitor.page.url.startswith("http"):
        visitor.until(f"document.documentElement.dataset.theme === '{theme}'")


def _objections(page: Page, *rules: str) -> list[str]:
    if not page.evaluate("'axe' in window"):
        page.evaluate(Axe().axe_script)
    options = {"resultTypes": ["violations"], **({"runOnly": list(rules)} if rules else {})}
    script = "options => axe.run(document, options).then(found => found.violations)"
    found = page.evaluate(script, options)
    return [f"{one['id']}: {node['html'][:200]}" for one in found for node in one["nodes"]]


def _picture(page: Page, name: str) -> None:
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=ARTEFACTS / f"{name}.png", full_page=True)
