"""Everything can be done without a mouse, and the focus is where one expects it."""

from __future__ import annotations

import pytest

from .conftest import Arrive
from .scene import Scene
from .visitor import Visitor

pytestmark = pytest.mark.servers


def _tab_to(visitor: Visitor, name: str) -> None:
    for _ in range(40):
        visitor.page.keyboard.press("Tab")
        if visitor.focused() == name:
            return
    raise AssertionError(f"Tab never comes to {name!r}")


def test_a_key_is_made_with_the_keyboard_alone(arrive: Arrive, scene: Scene) -> None:
    """From the sign-in to the copied key, Tab, Enter and typing are enough."""
    alice = arrive()
    alice.go()
    keyboard = alice.page.keyboard
    keyboard.insert_text(scene.laptop["key"])
    keyboard.press("Enter")
    alice.page.get_by_role("heading", name="Overview", level=1).wait_for()
    alice.until("document.activeElement.tagName === 'H1'")
    alice.page.evaluate("document.activeElement.blur()")
    _tab_to(alice, "Keys")
    keyboard.press("Enter")
    alice.until("document.activeElement.matches('h1') && document.activeElement.textContent === 'Keys'")
    _tab_to(alice, "New key")
    keyboard.press("Enter")
    keyboard.insert_text("by keyboard")
    keyboard.press("Enter")
    alice.sees("It is shown this once")
    secret = alice.page.locator(".secret").inner_text()
    assert alice.focused() == "Copy the key"
    keyboard.press("Enter")
    alice.sees("Copied")
    keyboard.press("Escape")
    alice.sees("The key by keyboard is made.")
    assert alice.copied() == secret


def test_the_skip_link_leads_past_the_navigation(arrive: Arrive, scene: Scene) -> None:
    """The first Tab of a page offers to skip to what it shows."""
    alice = arrive()
    alice.sign_in(scene.laptop["key"])
    alice.go("/keys")
    alice.page.keyboard.press("Tab")
    assert alice.focused() == "Skip to the page"
    alice.page.keyboard.press("Enter")
    alice.until("document.activeElement.id === 'main'")


def test_leaving_a_dialog_gives_the_focus_back(arrive: Arrive, scene: Scene) -> None:
    """Escape closes a dialog without doing anything, and the button that opened it has the focus again."""
    alice = arrive()
    alice.sign_in(scene.laptop["key"], "/keys")
    _tab_to(alice, "New key")
    alice.page.keyboard.press("Enter")
    alice.page.get_by_role("dialog").wait_for()
    alice.page.keyboard.press("Escape")
    alice.page.get_by_role("dialog").wait_for(state="detached")
    assert alice.focused() == "New key"


def test_the_menu_of_a_phone_opens_and_closes(arrive: Arrive, scene: Scene) -> None:
    """On a narrow screen the ways to other pages are behind a button that says whether they are open."""
    alice = arrive(width=360)
    alice.sign_in(scene.laptop["key"])
    menu = alice.page.get_by_role("button", name="Menu")
    assert menu.get_attribute("aria-expanded") == "false"
    menu.press("Enter")
    alice.page.get_by_role("link", name="Usage", exact=True).press("Enter")
    alice.page.get_by_role("heading", name="Usage", level=1).wait_for()
    assert menu.get_attribute("aria-expanded") == "false"
