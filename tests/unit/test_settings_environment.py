"""The environment over the file: any field, in its own words, with the same strictness."""

from __future__ import annotations

from pathlib import Path

import pytest

from extauth.errors import ConfigError
from extauth.settings.load import load_settings

PEPPER = "correct-horse-battery-staple-0123456789"


def problems_of(**environ: str) -> list[str]:
    """Load the variables and give the mistakes."""
    with pytest.raises(ConfigError) as caught:
        load_settings(None, environ)
    return caught.value.problems


def test_the_environment_wins_field_by_field(tmp_path: Path) -> None:
    """A variable changes its own field and leaves its neighbours in the file alone."""
    file = tmp_path / "extauth.yaml"
    file.write_text(
        "keys: {prefix: acme, hashing: {workers: 3, queue: 7}}\ntiers: {free: {rates: [1/second]}}\n"
    )
    environ = {
        "EXTAUTH_KEYS__HASHING__WORKERS": "5",
        "EXTAUTH_TIERS__PRO__RATES": "9/second, 20/hour burst 5",
    }
    loaded = load_settings(file, environ)
    assert (loaded.keys.prefix, loaded.keys.hashing.workers, loaded.keys.hashing.queue) == ("acme", 5, 7)
    assert [rate.rate.amount for rate in loaded.tiers["free"].rates] == [1]
    assert [rate.rate.capacity for rate in loaded.tiers["pro"].rates] == [9, 5]


def test_a_quota_is_given_as_text_as_a_mapping_or_by_field(tmp_path: Path) -> None:
    """As in the file; a field lies over the file's mapping, and an empty variable takes the quota away."""
    file = tmp_path / "extauth.yaml"
    file.write_text("tiers: {a: {quota: 1/day}, b: {quota: {rate: 1/day, per: user}}, c: {quota: 1/day}}\n")
    environ = {
        "EXTAUTH_TIERS__A__QUOTA": "2/month",
        "EXTAUTH_TIERS__B__QUOTA__NAME": "plan",
        "EXTAUTH_TIERS__C__QUOTA": "",
        "EXTAUTH_TIERS__D__QUOTA": "{rate: 3/week, shadow: true}",
    }
    tiers = load_settings(file, environ).tiers
    assert {name: tiers[name].model_dump(mode="json")["quota"] for name in "abcd"} == {
        "a": "2/month",
        "b": {"rate": "1/day", "name": "plan", "per": "user"},
        "c": None,
        "d": {"rate": "3/week", "shadow": True},
    }


def test_names_are_case_insensitive() -> None:
    """Some tools only make lower-case variables."""
    assert load_settings(None, {"extauth_Store__url": "sqlite:///x.db"}).store.path == Path("x.db")


def test_values_are_read_as_their_field_needs_them() -> None:
    """Booleans, numbers, durations, lists, and an IPv6 address, which begins like a YAML list."""
    loaded = load_settings(
        None,
        {
            "EXTAUTH_CREDENTIALS__QUERY_PARAMETER": "true",
            "EXTAUTH_LOG__ALLOWED_SAMPLE": "0.5",
            "EXTAUTH_LISTEN__HEAD_TIMEOUT": "5s",
            "EXTAUTH_LISTEN__CHECK": "[::1]:9000",
            "EXTAUTH_KEYS__ENVIRONMENTS": "live, staging",
            "EXTAUTH_KEYS__PEPPERS": f"{PEPPER},{PEPPER}x",
            "EXTAUTH_DOCS_URL": "",
            "EXTAUTH_PROXY__METHODS": "[GET, HEAD]",
        },
    )
    assert loaded.credentials.query_parameter is True
    assert loaded.log.allowed_sample == 0.5
    assert loaded.listen.head_timeout.total_seconds() == 5
    assert str(loaded.listen.check) == "[::1]:9000"
    assert loaded.keys.environments == ("live", "staging")
    assert [pepper.get_secret_value() for pepper in loaded.keys.peppers] == [PEPPER, f"{PEPPER}x"]
    assert loaded.docs_url is None
    assert loaded.proxy.methods == ("GET", "HEAD")


def test_lists_and_sections_can_be_given_as_yaml(tmp_path: Path) -> None:
    """A list is replaced whole, a section wins field by field, and a single field wins over its section."""
    file = tmp_path / "extauth.yaml"
    file.write_text("routes: [{path: /a}, {path: /b}]\nlog: {level: debug, allowed_sample: 0.5}\n")
    environ = {
        "EXTAUTH_ROUTES": "[{path: /health, auth: none}]",
        "EXTAUTH_LOG": "{level: warning}",
        "EXTAUTH_KEYS": "{prefix: one, secret_length: 22}",
        "EXTAUTH_KEYS__PREFIX": "two",
    }
    loaded = load_settings(file, environ)
    assert [route.path for route in loaded.routes] == ["/health"]
    assert (loaded.log.level, loaded.log.allowed_sample) == ("warning", 0.5)
    assert (loaded.keys.prefix, loaded.keys.secret_length) == ("two", 22)


def test_mistakes_name_their_variable() -> None:
    """The place of a mistake is the variable as it is spelt, and the field where it holds several."""
    assert problems_of(
        EXTAUTH_KEYS__SECRET_LENGTH="9",
        EXTAUTH_ROUTES="[{path: /a, scope: [x]}]",
        EXTAUTH_STORE="{url: 5}",
        extauth_log__level="loud",
        EXTAUTH_LISTEN="nonsense",
    ) == [
        "environment EXTAUTH_LISTEN: must be a section of fields",
        "environment EXTAUTH_STORE: store.url: must be text, not 5: write it in quotes",
        "environment EXTAUTH_KEYS__SECRET_LENGTH: must be at least 22, not '9'",
        "environment EXTAUTH_ROUTES: routes[0].scope: unknown field; did you mean 'scopes'?",
        "environment extauth_log__level: must be 'debug', 'info', 'warning' or 'error', not 'loud'",
    ]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("EXTAUTH_KEYS__PREFX", "no such setting; did you mean EXTAUTH_KEYS__PREFIX?"),
        ("EXTAUTH_KEY__PREFIX", "no such setting; did you mean EXTAUTH_KEYS__PREFIX?"),
        ("EXTAUTH_STOREURL", "no such setting; did you mean EXTAUTH_STORE__URL?"),
        ("EXTAUTH_STORE_URL", "no such setting; did you mean EXTAUTH_STORE__URL?"),
        ("EXTAUTH_STOR", "no such setting; did you mean EXTAUTH_STORE?"),
        ("EXTAUTH_KEYS__HASHING_WORKERS", "no such setting; did you mean EXTAUTH_KEYS__HASHING__WORKERS?"),
        ("EXTAUTH_TIERS__PRO__RATE", "no such setting; did you mean EXTAUTH_TIERS__PRO__RATES?"),
        ("EXTAUTH_QQQQ", "no such setting"),
        ("EXTAUTH_", "no such setting"),
        ("EXTAUTH_STORE__URL__X", "no such setting"),
        ("EXTAUTH_ROUTES__0__PATH", "EXTAUTH_ROUTES is a list and can only be set whole"),
    ],
)
def test_unknown_variables_are_mistakes(name: str, message: str) -> None:
    """A misspelt variable must not silently leave the default in force."""
    assert problems_of(**{name: "x"}) == [f"environment {name}: {message}"]


def test_one_field_in_two_spellings_is_a_mistake() -> None:
    """Which of the two would win depends on nothing an operator can see."""
    assert problems_of(EXTAUTH_LOG__LEVEL="info", extauth_log__level="debug") == [
        "environment extauth_log__level: set already by EXTAUTH_LOG__LEVEL"
    ]


def test_broken_yaml_in_a_variable_is_a_mistake_without_its_value() -> None:
    """The value may hold a secret."""
    assert problems_of(EXTAUTH_KEYS="{peppers: [" + PEPPER) == [
        (
            "environment EXTAUTH_KEYS: not valid YAML: while parsing a flow sequence, expected ',' or ']', "
            "but got '<stream end>'"
        )
    ]


@pytest.mark.parametrize(
    "name",
    [
        "EXTAUTH_CONFIG",
        "EXTAUTH_SERVICE_HOST",
        "EXTAUTH_SERVICE_PORT",
        "EXTAUTH_SERVICE_PORT_CHECK",
        "EXTAUTH_PORT",
        "EXTAUTH_PORT_9000_TCP",
        "EXTAUTH_PORT_9000_TCP_ADDR",
        "PATH",
    ],
)
def test_variables_of_others_are_left_alone(name: str) -> None:
    """In Kubernetes a Service called `extauth` must not keep extauth from starting."""
    assert load_settings(None, {name: "tcp://10.0.0.1:9000"}) == load_settings(None, {})


@pytest.mark.parametrize(
    "environ",
    [
        {"EXTAUTH_KEYS__PEPPERS": "hunter2hunter2"},
        {"EXTAUTH_KEYS__PEPPERS": "[hunter2hunter2"},
        {"EXTAUTH_KEYS__PEPPERS": "{hunter2hunter2: x}"},
        {"EXTAUTH_KEYS": "hunter2hunter2"},
        {"EXTAUTH_KEYS": "{peppers: hunter2hunter2}"},
        {"EXTAUTH_KEYS__PEPPER": "hunter2hunter2"},
        {"EXTAUTH_STORE__URL": "rediss://:hunter2hunter2@host/nought"},
    ],
)
def test_no_message_repeats_a_secret(environ: dict[str, str]) -> None:
    """Mistakes end up in logs; secrets must not."""
    assert "hunter2" not in "\n".join(problems_of(**environ))
