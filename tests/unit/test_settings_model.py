"""The settings model: its defaults, its bounds, and the mistakes that only several fields together make."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from extauth.model import Limit
from extauth.settings.model import RateSettings, RouteSettings, Settings, StoreSettings, TierSettings

PEPPER = "a pepper that is long enough to be one"


def rate(text: str) -> Limit:
    """Turn a rate's text into a token bucket."""
    return RateSettings.parse(text).to_limit()


def test_the_defaults_are_safe_to_start_with() -> None:
    """With no file at all: loopback only, embedded store, every path needs a key, and keys have a limit."""
    settings = Settings()
    assert str(settings.listen.check) == "127.0.0.1:9000"
    assert settings.store.path == Path("extauth-data/extauth.db")
    assert settings.routes == ()
    assert settings.default_route == "authenticate"
    assert settings.credentials.query_parameter is False
    assert [limit.to_limit() for limit in settings.tiers["default"].rates] == [
        Limit("per-second", 200, 1, 10_000)
    ]


def test_settings_are_frozen() -> None:
    """No part can change them behind another's back."""
    with pytest.raises(ValidationError):
        Settings().default_route = "allow"


def test_rates_become_token_buckets() -> None:
    """The burst is the capacity, the count is refilled each period, the period is in microseconds."""
    assert rate("10/second burst 20") == Limit("per-second", 20, 1, 100_000)
    assert rate("5/10s") == Limit("per-10s", 5, 1, 2_000_000)


def test_a_rate_can_be_named() -> None:
    """A mapping gives a rate the name that clients see."""
    named = RateSettings.model_validate({"rate": "10/second burst 20", "name": "steady"})
    assert named.to_limit() == Limit("steady", 20, 1, 100_000)


@pytest.mark.parametrize(
    "value",
    [
        {"rate": 5},
        {"name": "x"},
        {"rate": "1/second", "burst": 3},
        {"rate": "1/second", "name": "Not A Name"},
        {"rate": "1/second", "extra": 1},
        {"count": 1, "period": "0s"},
        {"count": True, "period": "1s"},
        5,
    ],
)
def test_other_forms_of_rates_are_refused(value: object) -> None:
    """A rate that could be read in two ways, or not at all, is a mistake."""
    with pytest.raises(ValidationError):
        RateSettings.model_validate(value)


def test_names_of_rates_are_unique_in_a_tier() -> None:
    """Clients tell limits apart by name."""
    with pytest.raises(ValidationError, match="two rates are named 'per-second'"):
        TierSettings.model_validate({"rates": ["1/second", "5/second"]})


def test_the_default_tier_stays_when_others_are_listed() -> None:
    """Keys of the tier `default` never lose their limit because a file names other tiers."""
    settings = Settings.model_validate({"tiers": {"free": {"rates": ["1/second"]}}})
    assert set(settings.tiers) == {"default", "free"}


def test_hosts_are_compared_in_lower_case() -> None:
    """Hosts are case-insensitive (RFC 9110 section 4.2.3)."""
    assert RouteSettings(path="/", hosts=("API.Example.com",)).hosts == ("api.example.com",)


def test_a_trailing_slash_of_docs_url_is_taken_off() -> None:
    """Paths are appended to it."""
    assert Settings(docs_url="https://docs.example.com/api/").docs_url == "https://docs.example.com/api"


def test_four_slashes_are_an_absolute_path() -> None:
    """The store's URL follows the convention of SQLAlchemy."""
    assert StoreSettings(url="sqlite:////var/lib/extauth.db").path == Path("/var/lib/extauth.db")


@pytest.mark.parametrize(
    "path", ["/", "/v1/", "/v1/orders/{id}", "/*/x", "/**", "/v1/**", "/a:b@c,d+e=f!$&'()", "/{a}/{b}/**"]
)
def test_templates_of_unambiguous_paths_are_taken(path: str) -> None:
    """Everything that an unambiguous path can hold can be named."""
    assert RouteSettings(path=path).path == path


@pytest.mark.parametrize(
    "path",
    ["", "v1", "//", "/a//b", "/.", "/a/../b", "/a;b", "/a%20b", "/**/a", "/a*", "/a{id}", "/{id", "/{1}",
     "/{a}/{a}", "/a b", "/a?b", "/a#b", "/a\\b", "/é", "/a\n"],
)  # fmt: skip
def test_templates_that_no_accepted_path_fits_are_refused(path: str) -> None:
    """A rule that could never match would leave its path to a laxer one."""
    with pytest.raises(ValidationError):
        RouteSettings(path=path)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"listen": {"admin": "127.0.0.1:9000"}}, "can't be used together with 'listen.check'"),
    ({"listen": {"completion": "127.0.0.1:9001"}}, "can't be used together with 'listen.admin'"),
    ({"listen": {"completion": "0.0.0.0:9000"}}, "can't be used together with 'listen.check'"),
    (
        {"listen": {"check": "unix:/run/x.dgram", "completion": "unix:/run/x"}},
        "can't be used together with 'listen.check'",
    ),
    ({"listen": {"completion": "unix:/" + "x" * 101}}, "longer than 107 bytes"),
    ({"listen": {"max_connections": 0}}, "greater than or equal to 1"),
    ({"throttle": {"sources": ["10.0.0.1/8"]}}, "has host bits set"),
    ({"throttle": {"sources": ["example.com"]}}, "not a network such as"),
    ({"throttle": {"sources": [7]}}, "must be an address or a network"),
    ({"throttle": {"token": "short"}}, "at least 16 letters"),
    ({"throttle": {"token": "a token with blanks"}}, "at least 16 letters"),
    ({"throttle": {"token": "x" * 16, "token_file": "/x"}}, "not both"),
    (
        {"store": {"url": "mysql://localhost"}},
        "'mysql' is not a store that this version understands: sqlite, ",
    ),
    ({"store": {"url": "sqlite://extauth.db"}}, "must name a file"),
    ({"store": {"url": "sqlite:///:memory:"}}, "must name a file"),
    ({"store": {"url": "sqlite:///a.db?mode=ro"}}, "without options"),
    ({"store": {"url": "extauth.db"}}, "must be a URL"),
    ({"keys": {"prefix": "Xa"}}, "lower-case"),
    ({"keys": {"environments": []}}, "at least 1"),
    ({"keys": {"environments": ["live", "live"]}}, "listed twice"),
    ({"keys": {"environments": ["prod"]}}, "'live' is not among 'keys.environments' .prod."),
    ({"keys": {"secret_length": 21}}, "greater than or equal to 22"),
    ({"keys": {"default_tier": "gold"}}, "'gold' is not among 'tiers' .default."),
    ({"keys": {"peppers": ["short"]}}, "at least 32 characters"),
    ({"keys": {"peppers": [PEPPER], "peppers_file": "/p"}}, "not both"),
    ({"keys": {"peppers": [PEPPER, f"{PEPPER}x", PEPPER]}}, "a pepper is listed twice"),
    ({"keys": {"hashing": {"workers": True}}}, "must be a number, not true"),
    ({"keys": {"hashing": {"memory_kib": 8191}}}, "greater than or equal to 8192"),
    ({"credentials": {"realm": 'a"b'}}, "without quotes"),
    ({"credentials": {"realm": "a\r\nSet-Cookie: b"}}, "printable"),
    ({"proxy": {"methods": ["GET", "CONNECT"]}}, "opens a tunnel"),
    ({"proxy": {"methods": ["trace"]}}, "sends the request back"),
    ({"proxy": {"methods": ["get"]}}, "upper-case"),
    ({"proxy": {"trusted_hops": 0}}, "greater than or equal to 1"),
    ({"routes": [{"path": "/a", "methods": ["DELTE"]}]}, "'DELTE' is not among 'proxy.methods'"),
    ({"routes": [{"path": "/a", "auth": "none", "scopes": ["a"]}]}, "would protect nothing"),
    ({"routes": [{"path": "/a", "scopes": ["a:*:b"]}]}, "is not a scope"),
    ({"routes": [{"path": "/a", "hosts": ["a.example.com:80"]}]}, "without scheme or port"),
    ({"routes": [{"path": "/a", "hosts": ["a.*.com"]}]}, "is not a host"),
    ({"tiers": {"Free": {}}}, "lower-case"),
    ({"log": {"allowed_sample": 1.5}}, "less than or equal to 1"),
    ({"log": {"allowed_sample": "nan"}}, "finite"),
    ({"docs_url": "ftp://example.com"}, "http:// or https://"),
    ({"docs_url": "https://user:word@example.com"}, "without user"),
    ({"docs_url": "https://example.com:x"}, "http:// or https://"),
    ({"docs_url": 'https://example.com/"'}, "without spaces and quotes"),
]


@pytest.mark.parametrize(("values", "message"), WRONG)
def test_what_could_not_work_is_refused_at_load(values: dict[str, Any], message: str) -> None:
    """A mistake shows when the configuration loads, not when a request meets it."""
    with pytest.raises(ValidationError, match=message):
        Settings.model_validate(values)


def test_a_validation_error_does_not_hold_the_input() -> None:
    """Even an error that nobody translated can be logged without giving a pepper away."""
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate({"keys": {"peppers": ["too-short-a-pepper"]}})
    assert "too-short-a-pepper" not in str(caught.value)


def test_a_burst_that_nobody_lives_to_see_refilled_is_refused() -> None:
    """The time of a whole refill is told to clients; a slip of the pen must not make it centuries."""
    RateSettings.parse("1/day burst 3650")
    with pytest.raises(ValueError, match="more than 3650 days to refill"):
        RateSettings.parse("1/day burst 3651")
