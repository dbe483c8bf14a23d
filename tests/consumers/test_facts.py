"""What the pages say is what the settings say."""

from __future__ import annotations

from typing import Any

import pytest

from extauth.docs.facts import Facts, facts_of
from extauth.docs.site import CLIENT, SAMPLES, sample
from extauth.settings.model import Settings
from tests.consumers.sites import CONFIGURATIONS, RICH, documents, site_of


def facts(**sections: Any) -> Facts:
    """Return what some sections of the settings say."""
    return facts_of(Settings.model_validate(sections))


PAGES = documents(site_of(RICH))


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("authentication", "A key begins with acme_live_ , acme_test_ , or acme_dev_ , which"),
        ("authentication", "64 more characters follow"),
        ("authentication", "the query parameter api_key"),
        ("authentication", "The realm is Acme API ."),
        ("authentication", "A new key ends after 365 days"),
        ("authentication", "Keys that were issued by an earlier system may look otherwise"),
        ("routes", "any method /health Key No key is needed."),
        ("routes", "GET, HEAD /v1/orders/{id} Key A valid key is needed. Scopes orders:read"),
        (
            "routes",
            "Cost One request takes 20 of each limit. In flight A request counts as in flight for 1 hour 30",
        ),
        ("routes", "route-all-per-hour 100 requests every hour, refilled evenly of everybody together"),
        (
            "routes",
            "route-concurrency 3 requests in flight at once; 6 more wait for up to 2 seconds of everybody",
        ),
        ("routes", "Hosts *.partners.example.com Key Works without a key; a key that is sent must be valid."),
        ("routes", "Cost It takes nothing of any limit."),
        ("routes", "Any other path is refused, whoever asks."),
        ("limits", "free (of new keys)"),
        ("limits", "per-second 60 requests at once, refilled evenly by 40 every second of each key"),
        ("limits", "user-per-hour 1,000 requests in any hour of all keys of a user together"),
        ("limits", "quota 100,000 requests in each month of the calendar (UTC) of each key"),
        (
            "limits",
            "concurrency 4 requests in flight at once; 8 more wait for up to 500 milliseconds of each key",
        ),
        ("limits", "50 refusals within 10 seconds begin a cool-down of 30 seconds"),
        ("limits", "Its keys may hold: orders:*"),
        ("limits", "endless No limits."),
        ("limits", "all-per-second 5,000 requests every second, refilled evenly of everybody together"),
        ("limits", "ip-per-minute 60 requests in each minute of the calendar (UTC) of each client address"),
        ("limits", "100 refusals within 10 seconds"),
        ("headers", "in seconds since 1970 (UTC)"),
        ("rotation", "by default for 1 day 12 hours, and for 30 days at most"),
        ("problems/", "Its type is the address of the page below"),
        ("", "The API is at https://api.acme.example/base ."),
    ],
)
def test_the_settings_stand_on_the_pages(path: str, said: str) -> None:
    """In words, where readers look for them."""
    spaced = " ".join(" ".join(PAGES[path].root.itertext()).split())
    assert said in spaced


def test_without_settings_the_defaults_are_told() -> None:
    """The same sentences, with what holds then."""
    found = facts()
    assert (found.key_shapes, found.query_parameter, found.epoch_reset) == (
        ["xa_live_", "xa_test_"],
        False,
        False,
    )
    assert found.other_paths == "Any other path needs a valid key, and no scope."
    assert [(tier.name, [limit.text for limit in tier.limits]) for tier in found.tiers] == [
        ("default", ["200 requests at once, refilled evenly by 100 every second"])
    ]


def test_what_is_in_shadow_is_not_told() -> None:
    """It refuses nobody, and only operators know of it."""
    found = facts(**RICH)
    limits = {tier.name: [limit.name for limit in tier.limits] for tier in found.tiers}
    assert (limits["pro"], limits["trial"]) == (["per-second"], [])
    assert [route.limits for route in found.routes if route.path == "/v1/trial"] == [()]


def test_hidden_routes_are_on_no_page() -> None:
    """Neither paths nor scopes, in no example either."""
    texts = [page.html for page in documents(site_of(CONFIGURATIONS["routes hidden"])).values()]
    words = (
        "/v1/orders",
        "/health",
        "orders:write",
        "orders:*",
        "/v1/reports",
        "partners.example.com",
    )
    assert not [word for word in words for text in texts if word in text]


@pytest.mark.parametrize(
    ("routes", "url"),
    [
        ([], "https://api.example.com/"),
        ([{"path": "/v1/orders/{id}"}, {"path": "/v1/orders/**"}], "https://api.example.com/v1/orders"),
        ([{"path": "/**"}], "https://api.example.com/"),
        (
            [{"path": "/open", "auth": "none"}, {"path": "/kept", "methods": ["POST"]}],
            "https://api.example.com/",
        ),
        ([{"path": "/it's$(me)"}, {"path": "/plain"}], "https://api.example.com/plain"),
    ],
)
def test_examples_ask_for_a_path_that_there_is(routes: list[dict[str, Any]], url: str) -> None:
    """One that needs a key, as it stands, and can't break out of the quotes of any language."""
    found = facts(routes=routes)
    assert found.api_url + found.example_path == url
    for each in SAMPLES:
        assert sample(each.file, found).count(url) == 1
    client = sample(CLIENT.file, found)
    assert f'client.request("GET", "{url.removeprefix("https://api.example.com")}")' in client


@pytest.mark.parametrize(
    "url", ["https://x.example/$(id)", "https://x.example/a'b", "https://x.example/a b", "x"]
)
def test_a_url_that_means_something_to_a_shell_is_refused(url: str) -> None:
    """It stands in programs that readers paste."""
    with pytest.raises(ValueError, match=r"docs\.api_url"):
        facts(docs={"api_url": url})


@pytest.mark.parametrize("title", ["", "  ", "a\nb", "x" * 81, "back\u202ewards"])
def test_a_title_is_one_short_line(title: str) -> None:
    """It stands in the tab of a browser."""
    with pytest.raises(ValueError, match="must be 1 to 80 printable characters"):
        facts(docs={"title": title})
