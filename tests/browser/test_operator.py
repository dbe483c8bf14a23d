"""The whole way of an operator: finding who does harm, stopping them, and letting them go on."""

from __future__ import annotations

import re

import pytest

from tests.integration.processes import wait_until

from .conftest import Arrive
from .scene import STRANGER, Scene

pytestmark = pytest.mark.servers


def test_the_busiest_key_can_be_stopped_from_the_first_page(arrive: Arrive, scene: Scene) -> None:
    """From the list of talkers a ban of the key takes three presses, and lifting it two."""
    loud = scene.make_key("loud", "orders:read", user="lou")
    scene.send(loud["key"], times=90)
    ops = arrive()
    ops.sign_in(scene.operator["key"])
    row = ops.page.get_by_role("table", name="The busiest keys of the last 5 minutes").get_by_role(
        "row", name=loud["key_id"]
    )
    row.get_by_role("button", name=f"Stop {loud['key_id']}").click()
    ops.page.get_by_label("Reason").fill("hammers the API")
    ops.press("Stop it now")
    ops.sees(f"key:{loud['key_id']} is banned.")
    wait_until(lambda: scene.send(loud["key"]) == 429, within=5, what="the ban holds")
    ops.go("/bans")
    ops.sees("hammers the API")
    ops.press(f"Lift the ban of key:{loud['key_id']}")
    ops.press("Lift the ban")
    ops.sees("is lifted.")
    wait_until(lambda: scene.send(loud["key"]) == 200, within=5, what="the ban is over")


def test_who_began_a_moment_ago_comes_before_who_was_busy_all_hour(arrive: Arrive, scene: Scene) -> None:
    """The first page lists who sends most right now, and at a choice who did within the hour."""
    sudden = scene.make_key("sudden", "orders:read", user="sue")
    scene.send(sudden["key"], times=300)
    ops = arrive()
    ops.sign_in(scene.operator["key"])
    for time, choice, busiest in (("5 minutes", "5m", "sudden"), ("hour", "1h", "laptop")):
        ops.page.get_by_label("Talkers of").select_option(choice)
        talkers = ops.page.get_by_role("table", name=f"The busiest keys of the last {time}")
        talkers.get_by_role("row").nth(1).get_by_role("link", name=busiest).wait_for()


def test_an_address_that_sends_wrong_keys_can_be_banned(arrive: Arrive, scene: Scene) -> None:
    """Who fails to authenticate is listed with the reason, and refused everything once banned."""
    # Servers tell every few seconds who fails.
    wait_until(lambda: STRANGER in str(scene.admin("GET", "/abuse/offenders")), within=20, what="it is known")
    ops = arrive()
    ops.sign_in(scene.operator["key"], "/bans")
    ops.sees("malformed (4)")
    ops.press(f"Stop {STRANGER}")
    ops.press("Stop it now")
    ops.page.get_by_role("table", name="Bans in force").get_by_text(STRANGER).wait_for()
    wait_until(
        lambda: scene.send(scene.laptop["key"], address=STRANGER) == 429, within=5, what="the ban holds"
    )
    scene.admin("DELETE", f"/bans/ip:{STRANGER}")


def test_a_key_is_found_by_the_beginning_of_its_name(arrive: Arrive, scene: Scene) -> None:
    """Typing a few letters finds key and user, and leads to the key's own page."""
    ops = arrive()
    ops.sign_in(scene.operator["key"], "/keys")
    ops.page.get_by_role("searchbox").fill("nightly")
    ops.page.get_by_role("link", name="nightly export").click()
    ops.page.get_by_role("heading", name="nightly export", level=1).wait_for()
    ops.sees("Key nightly export is over its limit")


def test_a_disabled_key_can_be_enabled_again(arrive: Arrive, scene: Scene) -> None:
    """Disabling refuses a key for now, and enabling lets it pass. Only a ban is asked how long it lasts."""
    key = scene.make_key("on and off", "orders:read", user="olga")
    ops = arrive()
    ops.sign_in(scene.operator["key"], f"/keys/{key['key_id']}")
    ops.press(f"Stop {key['key_id']}")
    lasting = ops.page.get_by_label("A ban lasts")
    lasting.wait_for()
    ops.page.get_by_label("Disable the key").check()
    lasting.wait_for(state="hidden")
    ops.press("Stop it now")
    ops.sees("Key on and off is disabled")
    wait_until(lambda: scene.send(key["key"]) == 401, within=5, what="the key is refused")
    ops.press("Enable")
    # Refusals are told of once they are written, within a second, and then for two minutes.
    ops.sees("Key on and off was refused a moment ago: key not valid")
    wait_until(lambda: scene.send(key["key"]) == 200, within=5, what="the key passes")


def test_the_first_page_follows_the_traffic(arrive: Arrive, scene: Scene) -> None:
    """A key that begins to send appears among the talkers without a reload."""
    newcomer = scene.make_key("newcomer", "orders:read", user="nina")
    ops = arrive()
    ops.sign_in(scene.operator["key"])
    talkers = ops.page.get_by_role("table", name="The busiest keys of the last 5 minutes")
    talkers.wait_for()
    assert talkers.get_by_text(newcomer["key_id"]).count() == 0
    scene.send(newcomer["key"], times=80)
    talkers.get_by_text(newcomer["key_id"]).wait_for()


def test_who_is_over_a_limit_is_listed_with_when_a_request_passes(arrive: Arrive, scene: Scene) -> None:
    """Not when all of the limit is free again, which is much later."""
    ops = arrive()
    ops.sign_in(scene.operator["key"], "/limits")
    row = ops.page.get_by_role("row", name="nightly export").filter(has_text="Per day")
    assert re.search(r"\b1 h \d+ min\s+for the next", row.inner_text())


def test_the_audit_log_tells_who_did_it(arrive: Arrive, scene: Scene) -> None:
    """A change made on these pages stands in the log under the operator's key, and can be filtered for."""
    key = scene.make_key("to audit", user="uma")
    ops = arrive()
    ops.sign_in(scene.operator["key"], f"/keys/{key['key_id']}")
    ops.press("Reset the limits of this key")
    ops.sees("is forgotten.")
    ops.go("/audit")
    ops.page.get_by_label("Key id").fill(key["key_id"])
    ops.page.get_by_label("What", exact=True).select_option("key.limits_reset")
    ops.press("Filter")
    row = ops.page.get_by_role("row", name="key.limits_reset")
    row.get_by_text(f"key:{scene.operator['key_id']}").wait_for()
    assert row.count() == 1


def test_a_whole_key_that_is_searched_for_stays_in_the_browser(arrive: Arrive, scene: Scene) -> None:
    """Pasting a key finds it by its id; its secret comes neither into an address nor to the server."""
    ops = arrive()
    addresses: list[str] = []
    ops.context.on("request", lambda request: addresses.append(request.url))
    ops.sign_in(scene.operator["key"], "/keys")
    ops.page.get_by_role("searchbox").fill(scene.laptop["key"])
    ops.page.get_by_role("link", name="laptop", exact=True).wait_for()
    ops.until(f"location.search === '?q={scene.laptop['key_id']}'")
    assert not [url for url in addresses if scene.laptop["key"][-12:] in url]
