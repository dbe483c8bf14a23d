"""What is printed is what is shipped, with what the settings say in its place, and nothing forgotten."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from extauth.proxies import shipped
from extauth.proxies.checking.looking import CHECKS, look_through
from extauth.proxies.facts import facts_of
from extauth.proxies.printing import KINDS, places_of, print_configuration
from extauth.proxies.shipped import (
    ProxyConfigurationError,
    folder_of,
    replaced,
    shipped_files,
    without_head,
)
from extauth.settings.model import Settings
from tests.proxies.varied import POSSIBLE, TOKEN, VARIANTS, Variant

PACKAGE = Path(shipped.__file__).parents[1]


@pytest.mark.parametrize("proxy", [proxy for proxy in KINDS if proxy != "nginx"])
def test_with_the_defaults_the_shipped_files_are_printed(proxy: str) -> None:
    """Word for word, but for the comments that files begin with."""
    files = print_configuration(proxy, Settings(), places_of(proxy)).files
    assert next(iter(files)) == KINDS[proxy].file
    assert {name: without_head(text) for name, text in files.items()} == {
        name: without_head(text) for name, text in shipped_files(proxy).items()
    }


def test_nginx_is_one_file_that_includes_nothing() -> None:
    """Each line of each shipped file stands in it, but for the comments at their heads."""
    (text,) = print_configuration("nginx", Settings(), places_of("nginx")).files.values()
    assert re.findall(r"^\s*include\b", text, re.MULTILINE) == []
    printed = [line.strip() for line in text.splitlines()]
    lines = [line for text in shipped_files("nginx").values() for line in without_head(text).splitlines()]
    assert [
        line for line in lines if line.strip() not in printed and not line.strip().startswith("include ")
    ] == []
    # It is included for the upstream's answers and for refusals.
    assert printed.count("add_header X-Content-Type-Options    $extauth_nosniff    always;") == 2


@pytest.mark.parametrize(("proxy", "name"), [pair for pair in POSSIBLE if pair[0] in CHECKS])
def test_nothing_is_found_in_what_is_printed(tmp_path: Path, proxy: str, name: str) -> None:
    """For any settings: what one command prints, the other doesn't complain of."""
    printed = VARIANTS[name].printed(proxy)
    (tmp_path / KINDS[proxy].file).write_text(printed.files[KINDS[proxy].file])
    facts = facts_of(Settings.model_validate(VARIANTS[name].settings))
    assert look_through(proxy, tmp_path / KINDS[proxy].file, facts) == []


@pytest.mark.parametrize("proxy", KINDS)
def test_no_address_is_forgotten(proxy: str) -> None:
    """Where all of them are others, none of the shipped ones is left, in comments neither."""
    text = "\n".join(
        text for name, text in VARIANTS["other ports"].printed(proxy).files.items() if name != _TEST_DATA
    )
    assert re.findall(r"\b(?:808[0-9]|900[0-9]|9901)\b", text) == []
    wanted = {"18080", "18082", "19000", "19002"} | ({"18090"} if KINDS[proxy].internal else set())
    assert set(re.findall(r"\b1(?:8|9)\d{3}\b", text)) == wanted


# Traefik tries a plugin with these, wherever extauth is.
_TEST_DATA = "plugins-local/src/extauth.example/extauth/.traefik.yml"


@pytest.mark.parametrize(
    ("proxy", "timeout", "idle"),
    [
        ("envoy", "cluster: extauth, timeout: 3.1s }", "idle_timeout: 24s"),
        ("nginx", "proxy_read_timeout 3100ms;", "keepalive_timeout 24s;"),
        ("traefik", "          timeout: 3100ms", "idleTimeout = 24 * time.Second"),
        ("caddy", "response_header_timeout 3100ms", "keepalive 24s"),
        ("haproxy", "timeout server 3100ms", ""),
    ],
)
def test_patience_fits_the_settings(proxy: str, timeout: str, idle: str) -> None:
    """A check may take the store's deadline, the longest wait and half a second."""
    assert timeout in "\n".join(VARIANTS["queue"].printed(proxy).files.values())
    assert idle in "\n".join(VARIANTS["other ports"].printed(proxy).files.values())


def test_reports_come_often_enough_for_the_shortest_lease() -> None:
    """Three of them in the 10 s that a route gives its requests."""
    assert "access_log_flush_interval: 3.333s" in VARIANTS["queue"].printed("envoy").files["envoy.yaml"]


@pytest.mark.parametrize(("proxy", "name"), POSSIBLE)
def test_no_secret_is_printed(proxy: str, name: str) -> None:
    """The token of the completion listener is named, never said."""
    printed = VARIANTS[name].printed(proxy)
    text = "\n".join([*printed.files.values(), *printed.warnings])
    assert TOKEN not in text
    if name == "token" and proxy in {"envoy", "traefik"}:
        assert text.count("EXTAUTH_THROTTLE__TOKEN") >= 2


WARNINGS = {
    "every address of its machine": {(proxy, "all addresses") for proxy in KINDS},
    "key in the query": {(proxy, "key in the query") for proxy in KINDS},
    "is not written here": {("envoy", "token"), ("traefik", "token")},
    "can't tell that a request still runs": {
        (proxy, name) for proxy in KINDS if proxy != "envoy" for name in ("queue", "token")
    },
    "on a client's kept connection": {("haproxy", "queue"), ("haproxy", "token")},
    "Caddy starts only where": {("caddy", "sockets")},
}


def test_what_a_proxy_cannot_say_is_told() -> None:
    """With the settings that ask for it and with no others, and each also in a comment of the main file."""
    said: dict[str, set[tuple[str, str]]] = {sentence: set() for sentence in WARNINGS}
    for proxy, name in POSSIBLE:
        printed = VARIANTS[name].printed(proxy)
        head = " ".join(re.findall(r"^#\s+(.*)$", printed.files[KINDS[proxy].file], re.MULTILINE))
        for warning in printed.warnings:
            assert warning in head
            (sentence,) = [sentence for sentence in WARNINGS if sentence in warning]
            said[sentence].add((proxy, name))
    assert said == WARNINGS


@pytest.mark.parametrize(
    ("proxy", "settings", "said"),
    [
        ("nginx", {"listen": {"check": "127.0.0.1:0"}}, r"listen\.check: with port 0"),
        (
            "envoy",
            {"listen": {"completion": "unix:/run/with space"}},
            r"listen\.completion: .* a path of other",
        ),
        (
            "traefik",
            {"listen": {"check": "unix:/run/check"}},
            r"listen\.check is a unix socket, which Traefik",
        ),
    ],
)
def test_what_cannot_be_printed_is_an_error(proxy: str, settings: dict[str, object], said: str) -> None:
    """Instead of a configuration with which nothing works."""
    with pytest.raises(ProxyConfigurationError, match=said):
        Variant(settings).printed(proxy)


def test_a_socket_for_reports_only_silences_traefik() -> None:
    """It goes on checking, and says that nobody reports."""
    printed = Variant({"listen": {"completion": "unix:/run/completion"}}).printed("traefik")
    assert 'done: ""' in printed.files["dynamic.yml"]
    assert "nothing tells extauth that requests ended" in " ".join(printed.warnings)


def test_reports_that_are_not_read_are_told() -> None:
    """Where `throttle.sources` leaves out this machine."""
    printed = Variant({"throttle": {"sources": ["10.0.0.0/8"]}}).printed("nginx")
    (warning,) = printed.warnings
    assert warning.startswith("throttle.sources does not hold 127.0.0.1, from where this proxy reports")


@pytest.mark.parametrize(
    ("proxy", "value"),
    [("nginx", "5$"), ("caddy", "{5}"), ("caddy", "5\\"), ("traefik", '{{ env "HOME" }}')],
)
def test_a_header_that_a_proxy_cannot_say_is_left_out_and_told(proxy: str, value: str) -> None:
    """It would begin a variable, a placeholder or a template, and nothing takes that meaning from it."""
    headers = {"X-Price": value, "X-Frame-Options": "DENY"}
    printed = Variant({"headers": {"security": headers}}).printed(proxy)
    text = "".join(text for text in printed.files.values())
    assert "X-Frame-Options" in text
    assert value not in text
    assert "'X-Price'" in " ".join(printed.warnings)


def test_shipped_files_of_a_checkout() -> None:
    """They stand beside the package."""
    for proxy in KINDS:
        assert KINDS[proxy].file in shipped_files(proxy)
        assert (folder_of(proxy, package=PACKAGE) / "README.md").is_file()


def test_shipped_files_of_an_installed_package(tmp_path: Path) -> None:
    """They are inside, whatever other packages are beside it."""
    package = tmp_path / "extauth"
    (tmp_path / "nginx").mkdir()
    inside = package / "proxies" / "files" / "nginx"
    inside.mkdir(parents=True)
    (inside / "README.md").touch()
    assert folder_of("nginx", package=package) == inside
    with pytest.raises(ProxyConfigurationError, match="the configuration of envoy is neither in"):
        folder_of("envoy", package=package)


@pytest.mark.parametrize("text", ["listen 1;", "listen 80; listen 80;"])
def test_another_file_than_the_shipped_one_is_noticed(text: str) -> None:
    """A passage that isn't there, or is there twice, would be settings told by half."""
    with pytest.raises(
        ProxyConfigurationError, match=r"a\.conf is not the file .* 'listen 80;' stands [02] times"
    ):
        replaced(text, {"listen 80;": "listen 81;"}, file="a.conf")


def test_what_comes_in_is_not_replaced_again() -> None:
    """Ports may change places."""
    assert replaced("a 1 b 2", {"1": "2", "2": "1"}, file="any") == "a 2 b 1"


def test_a_token_in_a_file_is_named_by_its_file(tmp_path: Path) -> None:
    """The proxy has to be started with what stands there, and the file isn't even read."""
    file = tmp_path / "token"
    file.write_text(TOKEN)
    for proxy in ("envoy", "traefik"):
        printed = Variant({"throttle": {"token_file": str(file)}}).printed(proxy)
        (told,) = [warning for warning in printed.warnings if "EXTAUTH_THROTTLE__TOKEN" in warning]
        assert told.endswith(f"holding what stands in {file}")
        assert TOKEN not in "\n".join(printed.files.values())
