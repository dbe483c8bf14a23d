"""Each mistake in a configuration of Envoy is found, and nothing where there is none."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from extauth.proxies.checking.envoy_parts import matches
from extauth.proxies.checking.envoy_reader import Node
from extauth.proxies.checking.findings import KINDS, UnreadableError
from extauth.proxies.shipped import shipped_files
from extauth.settings.document import Document
from tests.proxies.identities import CHECK, ROUTE, SET_IDENTITIES
from tests.proxies.looked import Change, found, written

_LAST = '- { key: type, value: { string_value: "%ACCESS_LOG_TYPE%" } }'
_PER_ROUTE = (
    '"@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute, disabled: true'
)
_WRAPPED = f'"@type": type.googleapis.com/envoy.config.route.v3.FilterConfig, config: {{ {_PER_ROUTE} }}'
_TYPED = "typed_per_filter_config: {{ envoy.filters.http.ext_authz: {{ {} }} }}"
_FILTERS = "          http_filters:\n"
_LUA = (
    '          - { name: lua, typed_config: { "@type": '
    "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua, default_source_code: {} } }\n"
)
_UPSTREAM = "allowed_upstream_headers:\n                    patterns:\n"
_SUCCESS = (
    "allowed_client_headers_on_success:\n                    patterns:\n                    - { exact: "
)
_IDLE = "common_http_protocol_options: { idle_timeout: 60s }\n"
_STATUS = (
    "                  - status_code_filter:\n"
    "                      comparison: { op: EQ, "
    "value: { default_value: 503, runtime_key: extauth_failure_status } }\n"
)


def _without(code: str, text: str) -> Change:
    return Change(code, text, "")


CHANGES = [
    Change("unchecked", CHECK, f"{CHECK}            disabled: true\n"),
    Change("unchecked", "ext_authz.v3.ExtAuthz\n", "fault.v3.HTTPFault\n"),
    Change(
        "check-disabled",
        ROUTE,
        f"{ROUTE}\n                {_TYPED.format(_PER_ROUTE)}",
    ),
    Change(
        "check-disabled",
        'domains: ["*"]',
        f'domains: ["*"]\n              {_TYPED.format("disabled: true")}',
    ),
    Change(
        "check-partial",
        "failure_mode_allow: false",
        "failure_mode_allow: false\n              filter_enabled: { default_value: { numerator: 50 } }",
    ),
    Change(
        "check-partial",
        "failure_mode_allow: false",
        "filter_enabled: { default_value: { numerator: 100, denominator: MILLION } }",
    ),
    Change("check-too-late", _FILTERS, _FILTERS + _LUA),
    Change(
        "check-partial",
        "failure_mode_allow: false",
        "filter_enabled: { default_value: { numerator: 100, denominator: HUNDRED }, runtime_key: check }",
    ),
    Change(
        "check-disabled",
        ROUTE,
        f"{ROUTE}\n                {_TYPED.format(_WRAPPED)}",
    ),
    Change(
        "unchecked",
        _FILTERS,
        "          upgrade_configs: [{ upgrade_type: websocket, filters: [{ name: router }] }]\n" + _FILTERS,
    ),
    Change(
        "elsewhere",
        "  listeners:\n",
        "  listeners:\n  - filter_chains: [{ filters: [{ typed_config: { "
        '"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, '
        "cluster: upstream } }] }]\n",
    ),
    Change("elsewhere", 'domains: ["*"]', 'domains: ["*"]\n              matcher: { on_no_match: {} }'),
    Change("fails-open", "failure_mode_allow: false", "failure_mode_allow: true"),
    Change("fails-open", "failure_mode_allow: false", "failureModeAllow: true"),
    Change("client-address-believed", "use_remote_address: true", "use_remote_address: false"),
    Change("client-address-believed", "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", "%REQ(X-REAL-IP)%"),
    Change("client-address-unknown", "key: x-extauth-client-ip", "key: x-other"),
    _without("address-claims", "- remove: x-forwarded-for"),
    _without("request-id-chosen", "- remove: x-request-id"),
    _without("identity-forged", "- remove_on_match: { key_matcher: { prefix: x-auth- } }"),
    Change("identity-forged", "{ prefix: x-auth- }", "{ exact: x-auth-user-id }"),
    Change(
        "identity-appended",
        _UPSTREAM,
        "allowed_upstream_headers_to_append: { patterns: [{ exact: x-auth-tier }] }\n"
        f"                  {_UPSTREAM}",
    ),
    _without("internal-forged", "- remove_on_match: { key_matcher: { prefix: x-extauth- } }"),
    _without("internal-forged", "- remove_on_match: { key_matcher: { prefix: x-envoy- } }"),
    _without("aliases-kept", "headers_with_underscores_action: REJECT_REQUEST"),
    _without(
        "aliases-kept", '- remove_on_match: { key_matcher: { safe_regex: { regex: ".*[^a-z0-9:-].*" } } }'
    ),
    _without("target-forged", "- remove: x-rewrite-url"),
    _without("target-forged", "- remove_on_match: { key_matcher: { prefix: x-original- } }"),
    Change("path-not-normalised", "normalize_path: true", "normalize_path: false"),
    _without("slashes-not-merged", "merge_slashes: true"),
    Change("escaped-slashes", "action: REJECT_REQUEST", "action: KEEP_UNCHANGED"),
    Change("route-rewrites", ROUTE, "route: { cluster: upstream, prefix_rewrite: /v2/ }"),
    Change(
        "check-protocol",
        "http_service:\n                server_uri",
        "grpc_service:\n                server_uri",
    ),
    Change(
        "check-protocol",
        f"        {_IDLE}        explicit_http_config: {{ http_protocol_options: {{}} }}",
        f"        {_IDLE}        explicit_http_config: {{ http2_protocol_options: {{}} }}",
    ),
    Change("check-address", "port_value: 9000", "port_value: 9090"),
    Change("check-address", "cluster: extauth,", "cluster: other,"),
    Change("check-prefix", "path_prefix: /envoy", "path_prefix: /envoy/"),
    _without("check-headers", "- { exact: x-api-key }"),
    Change(
        "check-headers",
        "failure_mode_allow: false",
        "failure_mode_allow: false\n"
        "              disallowed_headers: { patterns: [{ exact: authorization }] }",
    ),
    Change("check-timeout", "cluster: extauth, timeout: 1s", "cluster: extauth, timeout: 0.4s"),
    Change("check-timeout-long", "cluster: extauth, timeout: 1s", "cluster: extauth, timeout: 60s"),
    Change(
        "body-sent",
        "failure_mode_allow: false",
        "failure_mode_allow: false\n              with_request_body: { max_request_bytes: 1 }",
    ),
    Change("check-retried", "retry_on: connect-failure,", "retry_on: 5xx,connect-failure,"),
    Change("check-retried", "retry_on: connect-failure,reset", "retry_priority: {}"),
    Change("check-timeout", "max_interval: 60s", "max_interval: 0.01s"),
    Change("idle-timeout", "idle_timeout: 60s", "idle_timeout: 80s"),
    Change("idle-timeout", f"        {_IDLE}", ""),
    Change("mutations-unchecked", "validate_mutations: true", "validate_mutations: false"),
    _without("failure-status", "status_on_error: { code: 503 }"),
    Change("failure-unexplained", "flags: [UAEX]", "flags: [UF]"),
    _without("refusals-overwritten", _STATUS),
    _without("refusal-type", "- { exact: content-type }"),
    _without("identity-not-passed", "- { exact: x-auth-tier }"),
    Change(
        "identity-not-passed",
        'domains: ["*"]',
        'domains: ["*"]\n              request_headers_to_remove: [X-Auth-Tier]',
    ),
    _without("limits-not-told", "- { exact: retry-after }"),
    _without("limits-not-told", "- { prefix: x-ratelimit- }"),
    _without("limits-doubled", "              - ratelimit-policy\n"),
    Change("rotation-not-told", f"{_SUCCESS}deprecation", f"{_SUCCESS}other"),
    Change("security-headers", "key: referrer-policy", "key: x-other"),
    Change("no-signals", "open_telemetry.v3.OpenTelemetryAccessLogConfig", "file.v3.FileAccessLog"),
    Change("signals-address", "port_value: 9002", "port_value: 9003"),
    _without("signals-incomplete", _LAST),
    _without("signals-late", "buffer_flush_interval: 0.002s"),
    Change("signals-without-token", "", "", settings={"throttle": {"token": "0123456789abcdef"}}),
    _without("lease-forgotten", "- { exact: x-extauth-lease }"),
    Change("progress-not-told", "access_log_flush_interval: 15s", "access_log_flush_interval: 45s"),
    Change(
        "progress-not-told",
        "",
        "",
        settings={"tiers": {"default": {"concurrency": {"max": 1, "ttl": "10s"}}}},
    ),
    Change(
        "elsewhere",
        "            typed_config:\n"
        '              "@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz\n',
        "            config_discovery:\n",
    ),
    Change("elsewhere", "static_resources:", "dynamic_resources: { ads_config: {} }\nstatic_resources:"),
    Change(
        "elsewhere", "access_log_options:", "rds: { route_config_name: a }\n          access_log_options:"
    ),
    *SET_IDENTITIES,
]


@pytest.mark.parametrize("settings", [{}, {"tiers": {}}, {"credentials": {"query_parameter": True}}])
def test_the_shipped_file_is_fine(tmp_path: Path, settings: dict[str, object]) -> None:
    """Whoever copied it is told nothing."""
    assert found("envoy", written("envoy", tmp_path), settings) == []


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: f"{change.code}: {change.old.strip()[:40]}")
def test_one_change_is_one_finding(tmp_path: Path, change: Change) -> None:
    """With its code, at a line of the file, and nothing else is found."""
    path = written("envoy", tmp_path, change)
    (finding,) = found("envoy", path, change.settings)
    assert finding.code == change.code
    place = re.match(r"(?P<file>.*):(?P<line>\d+): (?P<path>[a-z_]+[\[.].*|dynamic_resources)", finding.where)
    assert place is not None
    assert (place["file"], 0 < int(place["line"]) <= len(path.read_text().splitlines())) == (str(path), True)
    assert finding.wrong
    assert finding.instead


def test_every_code_of_envoy_is_tried() -> None:
    """A rule that nothing shows to work is none."""
    assert {change.code for change in CHANGES} == {
        code for code, kind in KINDS.items() if "envoy" in kind.proxies
    }


@pytest.mark.parametrize("indent", [None, 2, "\t"])
def test_json_is_read_too(tmp_path: Path, indent: int | str | None) -> None:
    """The same configuration in the other language, however it is laid out."""
    configuration = yaml.safe_load(shipped_files("envoy")["envoy.yaml"])
    path = tmp_path / "envoy.json"
    path.write_text(json.dumps(configuration, indent=indent))
    assert found("envoy", path) == []
    configuration["static_resources"]["clusters"][0]["load_assignment"] = {}
    path.write_text(json.dumps(configuration, indent=indent))
    assert [finding.code for finding in found("envoy", path)] == ["check-address"]


def test_names_may_be_written_together(tmp_path: Path) -> None:
    """As protobuf's JSON writes them, and tools that print it."""
    text = json.dumps(yaml.safe_load(shipped_files("envoy")["envoy.yaml"]))
    path = tmp_path / "envoy.json"
    path.write_text(re.sub(r'"([a-z]+(?:_[a-z0-9]+)+)":', lambda name: f'"{_together(name[1])}":', text))
    assert "httpFilters" in path.read_text()
    assert found("envoy", path) == []


def _together(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "not valid YAML"),
        ("a: *b", "YAML aliases"),
        ("- a", "holds no mapping"),
        ("", "holds no mapping"),
        ("{\t", "not valid YAML"),
        ("static_resources: {}", "no HttpConnectionManager"),
        ("static_resources: [1, 2]", "no HttpConnectionManager"),
        ("a: " + 100 * "[", "nested more than 64 levels"),
        ("\xff", "holds no mapping"),
    ],
)
def test_what_is_not_envoys_is_told(tmp_path: Path, text: str, said: str) -> None:
    """With the file, and the line where there is one."""
    path = tmp_path / "envoy.yaml"
    path.write_text(text)
    with pytest.raises(UnreadableError, match=said) as raised:
        found("envoy", path)
    assert str(raised.value).startswith(str(path))


def test_what_is_no_text_or_no_file_is_told(tmp_path: Path) -> None:
    """Neither is a traceback."""
    path = tmp_path / "envoy.yaml"
    path.write_bytes(b"\xff\xfe\xff")
    for each in (path, tmp_path / "nothing", tmp_path):
        with pytest.raises(UnreadableError, match=str(each)):
            found("envoy", each)


def test_headers_that_all_hosts_add_are_said(tmp_path: Path) -> None:
    """Where operators rather say them at their virtual hosts."""
    own = "response_headers_to_add: [{ header: { key: Referrer-Policy, value: no-referrer } }]"
    path = written("envoy", tmp_path, Change("", "key: referrer-policy", "key: x-other"))
    path.write_text(path.read_text().replace('domains: ["*"]', f'domains: ["*"]\n              {own}'))
    assert found("envoy", path) == []


def test_an_expression_that_would_take_for_ever_is_not_tried() -> None:
    """Envoy reads it in no time; here a name that it might fit counts as one that it doesn't."""
    document = Document({"safe_regex": {"regex": "(([a-z-])+)+[0-9]"}})
    assert not matches(Node(document, "envoy.yaml", (), document.value), 20 * "a-")
