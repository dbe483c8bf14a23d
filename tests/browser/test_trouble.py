"""What somebody sees while the service is gone, and of names that were made to do harm."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from .conftest import Arrive
from .scene import Scene

pytestmark = pytest.mark.servers

_GONE = "net::ERR_"


def test_an_open_page_finds_back_when_the_service_was_gone(arrive: Arrive, scene: Scene) -> None:
    """A page says that it is not up to date while the service is down, and is again when it is back."""
    ops = arrive()
    ops.allowed.add(_GONE)
    ops.sign_in(scene.operator["key"])
    ops.sees_state("Live")
    scene.node.child.stop()
    ops.sees_state("Reconnecting")
    scene.node.child.start()
    ops.sees_state("Live")


def test_a_page_that_can_not_be_fetched_can_be_tried_again(arrive: Arrive, scene: Scene) -> None:
    """Without a network a page says so, and a button fetches it once there is one."""
    ops = arrive()
    ops.allowed.add(_GONE)
    ops.sign_in(scene.operator["key"])
    ops.go_offline()
    ops.page.get_by_role("link", name="Audit log").click()
    ops.sees("The server can't be reached")
    ops.context.set_offline(False)
    ops.press("Try again")
    ops.page.get_by_role("heading", name="Audit log", level=1).wait_for()


def test_what_a_button_could_not_do_is_told(arrive: Arrive, scene: Scene) -> None:
    """A press that fails says why, also where no dialog stands around it."""
    ops = arrive()
    ops.allowed.add(_GONE)
    ops.sign_in(scene.operator["key"], f"/keys/{scene.laptop['key_id']}")
    ops.go_offline()
    for name in ("Reset the limits of this key", "Sign out"):
        # By keyboard: what could not be fetched either moves the page while a pointer is on its way.
        ops.page.get_by_role("button", name=name).press("Enter")
        toast = ops.page.locator(".toast")
        expect(toast).to_contain_text("No answer came.")
        toast.get_by_role("button", name="Close").click()


def test_names_are_text_whatever_they_look_like(arrive: Arrive, scene: Scene) -> None:
    """A name with markup in it is shown to the letter, and makes no element."""
    name = "<img src=x onerror=alert(1)>"
    key = scene.make_key(name, user="<b>mallory</b>")
    ops = arrive()
    ops.sign_in(scene.operator["key"], f"/keys/{key['key_id']}")
    ops.page.get_by_role("heading", name=name, level=1).wait_for()
    ops.page.get_by_role("link", name="<b>mallory</b>").click()
    ops.page.get_by_role("heading", name="<b>mallory</b>", level=1).wait_for()
    assert ops.page.locator("main img, main b").count() == 0
