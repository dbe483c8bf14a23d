"""Sessions in a browser: what ends them, what others can't do with them, and what is kept of the key."""

from __future__ import annotations

import json
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Route

from .conftest import Arrive
from .scene import Scene

pytestmark = pytest.mark.servers

# Another site, and a program on the same host: to a browser the second is the same site.
_ELSEWHERE = ("http://evil.example", "http://127.0.0.1:9")


def test_a_session_that_ended_leads_back_to_where_one_was(arrive: Arrive, scene: Scene) -> None:
    """When the key of a session is revoked, the page says why it is gone; signing in shows the page again."""
    key = scene.make_key("short-lived", user="sam")
    other = scene.make_key("longer-lived", user="sam")
    sam = arrive()
    sam.sign_in(key["key"], f"/keys/{other['key_id']}")
    sam.allowed.add("status of 401")
    scene.admin("POST", f"/keys/{key['key_id']}/revoke")
    sam.sees("Your session has ended")
    sam.page.get_by_label("API key").fill(other["key"])
    sam.page.keyboard.press("Enter")
    sam.page.get_by_role("heading", name="longer-lived", level=1).wait_for()


def test_whoever_does_nothing_is_warned_before_the_session_ends(arrive: Arrive, scene: Scene) -> None:
    """A minute before the idle time-out the page offers to stay, and staying takes the note away.

    The time counts from the last question, however late its answer comes.
    """
    alice = arrive()
    alice.page.clock.install()
    late: list[Route] = []

    def hold(question: Route) -> None:
        late.append(question)

    alice.page.route("**/me/usage?*", hold)
    alice.sign_in(scene.laptop["key"], "/usage")
    # The chart and the table ask for themselves.
    while len(late) < 2:
        alice.page.wait_for_timeout(20)
    alice.page.clock.fast_forward("14:30")
    for question in late:
        question.continue_()
    alice.page.get_by_text("nightly export").wait_for()
    # The page looks every five seconds.
    alice.page.clock.run_for(5_000)
    alice.sees("Your session ends in")
    alice.press("Stay signed in")
    alice.page.clock.run_for(10_000)
    alice.page.get_by_text("Your session ends in").wait_for(state="detached")


def test_signing_out_ends_the_session_for_good(arrive: Arrive, scene: Scene) -> None:
    """After signing out the old cookie is worth nothing, even where somebody kept a copy."""
    alice = arrive()
    alice.sign_in(scene.laptop["key"])
    cookies = alice.context.cookies()
    alice.press("Sign out")
    alice.sees("You are signed out.")
    kept = arrive()
    kept.context.add_cookies(cookies)  # type: ignore[arg-type]  # what `cookies` gives, as documented
    kept.go()
    kept.page.get_by_label("API key").wait_for()


def test_signing_out_works_where_the_session_is_over_already(arrive: Arrive, scene: Scene) -> None:
    """Of two tabs, the second can be left too after the first has ended the session of both."""
    alice = arrive()
    alice.sign_in(scene.laptop["key"], "/keys")
    other = alice.context.new_page()
    other.goto(alice.page.url)
    other.get_by_role("button", name="Sign out").click()
    other.get_by_text("You are signed out.").wait_for()
    alice.allowed.add("status of 401")
    alice.press("Sign out")
    alice.sees("You are signed out.")


def test_the_key_is_kept_nowhere_in_the_browser(arrive: Arrive, scene: Scene) -> None:
    """Neither storage nor page nor anything a script can read of cookies holds the key."""
    alice = arrive()
    alice.sign_in(scene.laptop["key"])
    (cookie,) = alice.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    held = alice.page.evaluate(
        "[document.cookie, JSON.stringify({...localStorage}), JSON.stringify({...sessionStorage})]"
    )
    assert held == ["", "{}", "{}"]
    secret = scene.laptop["key"].rpartition("_")[2]
    assert secret not in alice.page.content() + json.dumps(alice.context.cookies())


@pytest.mark.parametrize("origin", _ELSEWHERE)
def test_a_forged_form_changes_nothing(arrive: Arrive, scene: Scene, origin: str) -> None:
    """A form on another page that revokes a key of whoever is signed in is refused."""
    key = scene.make_key("target", user="tina")
    tina = arrive()
    tina.sign_in(key["key"])
    action = f"{scene.address}/dashboard/api/me/keys/{key['key_id']}/revoke"
    form = f'<form method="post" enctype="text/plain" action="{action}"><button>win</button></form>'

    def serve(route: Route) -> None:
        route.fulfill(body=form, content_type="text/html")

    tina.context.route(f"{origin}/**", serve)
    tina.allowed |= {"status of 401", "status of 403"}
    tina.page.goto(f"{origin}/game")
    with tina.page.expect_response(action) as answer:
        tina.press("win")
    assert answer.value.status in {401, 403}
    assert scene.send(key["key"], "/v1/none") == 200
    # Of the page elsewhere, and not of ours.
    tina.hosts.clear()


def test_a_consumer_finds_no_page_of_operators(arrive: Arrive, scene: Scene) -> None:
    """Pages for operators aren't there for others, and keys of others aren't either."""
    alice = arrive()
    alice.sign_in(scene.laptop["key"], "/bans")
    alice.sees("There is no such page")
    alice.allowed.add("status of 404")
    alice.go(f"/keys/{scene.bobs['key_id']}")
    alice.sees("There is no such thing")


def test_an_address_asks_for_nothing_but_its_key(arrive: Arrive, scene: Scene) -> None:
    """What looks like a path in place of a key's id is an id that there is not."""
    ops = arrive()
    ops.allowed.add("status of 404")
    ops.sign_in(scene.operator["key"])
    asked: list[str] = []
    ops.context.on("request", lambda request: asked.append(urlsplit(request.url).path))
    ops.go("/keys/..%2f..%2fsearch%3Fq=a")
    ops.sees("There is no such thing")
    assert "/dashboard/api/search" not in asked
