"""Filters of Envoy that routes or their own entry switch off, and those that set an identity."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.integration.shipped import PROXIES
from tests.proxies.identities import CLEARED, ROUTE, ROUTER, SET_IDENTITIES, SETTING, WEIGHTED
from tests.proxies.looked import Change, found, written

_FILTERS = "          http_filters:\n"
_CLEARING = (
    '          - { name: clear, typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.'
    "header_mutation.v3.HeaderMutation, mutations: { request_mutations: "
    "[{ remove_on_match: { key_matcher: { prefix: x-auth- } } }] } } }\n"
)
_OFF = '"@type": type.googleapis.com/envoy.config.route.v3.FilterConfig, disabled: true'


def _require_accepted(path: Path) -> None:
    """Have Envoy look at a file: what is judged here is what it would run."""
    command = [*PROXIES["envoy"].validate(path.parent)]  # type: ignore[misc]  # Envoy has such a command
    done = subprocess.run(command, cwd=path.parent, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("change", SET_IDENTITIES, ids=range(len(SET_IDENTITIES)))
def test_envoy_takes_what_sets_an_identity(tmp_path: Path, change: Change) -> None:
    """None of these places is made up."""
    _require_accepted(written("envoy", tmp_path, change))


def _cleared_by(folder: Path, *, filter_line: str = _CLEARING, route: str = ROUTE) -> Path:
    """Write a configuration in which a filter before the check removes the client's identity."""
    path = written("envoy", folder, Change("", CLEARED, "- remove: x-other"))
    text = path.read_text().replace(_FILTERS, _FILTERS + filter_line).replace(ROUTE, route)
    path.write_text(text)
    _require_accepted(path)
    return path


def _off(name: str) -> str:
    return f"typed_per_filter_config: {{ {name}: {{ {_OFF} }} }}"


def test_a_filter_may_clear_headers_too(tmp_path: Path) -> None:
    """Where operators rather clear them there, and also where a route without an upstream switches it off."""
    assert found("envoy", _cleared_by(tmp_path)) == []
    elsewhere = (
        f"direct_response: {{ status: 204 }}\n                {_off('clear')}\n"
        f'              - match: {{ prefix: "/" }}\n                {ROUTE}'
    )
    assert found("envoy", _cleared_by(tmp_path, route=elsewhere)) == []


@pytest.mark.parametrize(
    ("filter_line", "route"),
    [
        (_CLEARING.replace("name: clear,", "name: clear, disabled: true,"), ROUTE),
        (_CLEARING, f"{ROUTE}\n                {_off('clear')}"),
        (_CLEARING, WEIGHTED % _off("clear")),
    ],
)
def test_a_filter_that_is_switched_off_clears_nothing(tmp_path: Path, filter_line: str, route: str) -> None:
    """In the chain, or on the way to one upstream: clients say there who they are."""
    path = _cleared_by(tmp_path, filter_line=filter_line, route=route)
    (finding,) = found("envoy", path)
    assert finding.code == "identity-forged"
    assert "clear is switched off" in finding.wrong


def test_a_filter_that_a_route_switches_on_clears(tmp_path: Path) -> None:
    """What is off in the chain works where settings of a route, or of all, say so."""
    on = '"@type": type.googleapis.com/envoy.config.route.v3.FilterConfig, config: {}'
    route = f"{ROUTE}\n                typed_per_filter_config: {{ clear: {{ {on} }} }}"
    line = _CLEARING.replace("name: clear,", "name: clear, disabled: true,")
    assert found("envoy", _cleared_by(tmp_path, filter_line=line, route=route)) == []


def test_headers_of_answers_that_are_switched_off_are_missing(tmp_path: Path) -> None:
    """The shipped filter adds them, and a route without it has answers without them."""
    change = Change("", ROUTE, f"{ROUTE}\n                {_off('envoy.filters.http.header_mutation')}")
    assert [one.code for one in found("envoy", written("envoy", tmp_path, change))] == ["security-headers"]


@pytest.mark.parametrize(
    "header",
    [
        "{ key: x-auth-user-id, value: '%REQ(X-Auth-User-Id)%' }",
        "{ key: x-auth-key-id, value: '%DYNAMIC_METADATA(envoy.filters.http.ext_authz:x-auth-key-id)%' }",
        "{ key: x-user, value: '%REQ(x-auth-user-id)%' }",
        "{ key: x-auth-tier, value: '' }",
    ],
)
def test_extauths_own_word_may_be_said_again(tmp_path: Path, header: str) -> None:
    """Under its own name or another, and nothing at all."""
    adds = f"request_headers_to_add: [{{ header: {header} }}]"
    path = written("envoy", tmp_path, Change("", ROUTE, f"{ROUTE}\n                {adds}"))
    _require_accepted(path)
    assert found("envoy", path) == []


def test_a_filter_that_sets_an_identity_and_is_off_sets_nothing(tmp_path: Path) -> None:
    """It stands there for another day."""
    line = SETTING.replace("name: set,", "name: set, disabled: true,")
    assert found("envoy", written("envoy", tmp_path, Change("", ROUTER, line + ROUTER))) == []
