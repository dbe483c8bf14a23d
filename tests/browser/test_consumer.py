"""The whole way of a consumer: why a key is refused, and making, replacing and ending keys."""

from __future__ import annotations

import re

import pytest

from tests.integration.processes import wait_until

from .conftest import Arrive
from .scene import DOCUMENTATION, Scene

pytestmark = pytest.mark.servers


def test_says_at_once_which_key_is_over_its_limit_and_until_when(arrive: Arrive, scene: Scene) -> None:
    """The first page of somebody over a limit names key, limit, and when the next request passes."""
    alice = arrive()
    alice.sign_in(scene.laptop["key"])
    alice.sees("Key nightly export is over its limit of 20 requests a day")
    told = alice.page.inner_text("main")
    assert re.search(r"next request passes in 1 h \d+ min, at \d\d:\d\d[ ,]", told)
    alice.sees("Over the rate limit")
    # Of a flood no more than ten refusals are kept between two writes, and it may go on for longer than that.
    alice.sees(re.compile(r"\b[1-4]\d times or more"))
    more = alice.page.get_by_role("link", name="More: rate_limited").first
    assert more.get_attribute("href") == f"{DOCUMENTATION}/problems/rate_limited"
    documentation = alice.page.get_by_role("navigation").get_by_role("link", name="Documentation")
    assert documentation.get_attribute("href") == DOCUMENTATION


def test_a_new_key_works_and_is_shown_once(arrive: Arrive, scene: Scene) -> None:
    """The key on the clipboard passes a check, and after the dialog it is nowhere in the page."""
    alice = arrive()
    alice.sign_in(scene.laptop["key"], "/keys")
    alice.press("New key")
    alice.page.get_by_label("Name").fill("tablet")
    alice.press("Create the key")
    alice.sees("It is shown this once")
    secret = alice.page.locator(".secret").inner_text()
    alice.press("Done")
    alice.sees("You haven't copied the key")
    alice.press("Copy the key")
    alice.press("Close without a copy")
    alice.sees("The key tablet is made.")
    assert alice.copied() == secret
    assert scene.send(secret) == 200
    assert secret not in alice.page.content()


def test_replacing_a_key_leaves_the_old_one_a_grace(arrive: Arrive, scene: Scene) -> None:
    """Both keys pass after a rotation, and the list tells which of them is to go."""
    key = scene.make_key("to replace", "orders:read")
    alice = arrive()
    alice.sign_in(scene.laptop["key"], "/keys")
    alice.press("Replace to replace")
    alice.page.get_by_label("The old key ends").select_option("1h")
    alice.press("Replace the key")
    secret = alice.page.locator(".secret").inner_text()
    alice.press("Copy the key")
    alice.press("Done")
    alice.page.get_by_role("row", name="to replace").get_by_text("in grace").wait_for()
    assert [scene.send(key["key"]), scene.send(secret)] == [200, 200]


def test_a_revoked_key_is_refused(arrive: Arrive, scene: Scene) -> None:
    """Revoking asks first, naming the key, and then holds for the next check."""
    key = scene.make_key("to end", "orders:read")
    alice = arrive()
    alice.sign_in(scene.laptop["key"], f"/keys/{key['key_id']}")
    alice.press("Revoke to end")
    alice.press("Cancel")
    assert scene.send(key["key"]) == 200
    alice.press("Revoke to end")
    alice.page.get_by_role("dialog").get_by_role("button", name="Revoke to end").click()
    alice.sees("Key to end is revoked")
    wait_until(lambda: scene.send(key["key"]) == 401, within=5, what="the key is refused")


def test_a_page_follows_what_happens_and_keeps_focus_and_place(arrive: Arrive, scene: Scene) -> None:
    """A refusal appears without a reload, while focus and scroll stay where they were."""
    key = scene.make_key("watched", "orders:read", user="walter", tier="tight")
    walter = arrive()
    walter.sign_in(key["key"], f"/keys/{key['key_id']}")
    walter.sees("Key watched is working")
    walter.page.set_viewport_size({"width": 1280, "height": 400})
    walter.page.get_by_label("Time span").focus()
    walter.page.evaluate("scrollTo(0, 120)")
    assert scene.send(key["key"], times=25) == 429
    walter.sees("Key watched is over its limit of 20 requests a day")
    walter.sees("Over the rate limit")
    assert walter.page.evaluate("document.activeElement.getAttribute('aria-label')") == "Time span"
    assert walter.page.evaluate("scrollY") == 120


def test_the_field_that_is_wrong_is_told(arrive: Arrive, scene: Scene) -> None:
    """A key without a name isn't made: the reason stands at the field, which gets the focus."""
    alice = arrive()
    alice.sign_in(scene.laptop["key"], "/keys")
    alice.allowed.add("status of 422")
    alice.press("New key")
    alice.press("Create the key")
    field = alice.page.get_by_label("Name")
    alice.page.locator("[data-field=name] .wrong").wait_for()
    assert field.get_attribute("aria-invalid") == "true"
    assert field.evaluate("it => it === document.activeElement")
