"""Looks at the filter in which Envoy asks extauth, and at the cluster it asks through."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from extauth.proxies.checking.envoy_parts import Manager, any_matches
from extauth.proxies.checking.envoy_reader import Node
from extauth.proxies.checking.findings import Finding
from extauth.proxies.checking.names import (
    CLIENT_ADDRESS,
    IDENTITY,
    LEASE,
    LIMITS,
    REQUEST_ID,
    ROTATION,
    listed,
)
from extauth.proxies.facts import Facts
from extauth.proxies.spelling import in_seconds

_PREFIX = "/envoy"
_MILLISECOND = timedelta(milliseconds=1)
_LONG = timedelta(seconds=30)
# Envoy's own, where nothing is said.
_DEFAULT_IDLE = timedelta(hours=1)
_REFUSAL = ("cache-control", "retry-after", *LIMITS)
# Filters that answer, change or act on a request.
_ACTING = ("CacheConfig", "Lua", "Wasm", "ExternalProcessor", "DynamicModuleFilter")
# Names and numbers of the enumeration.
_WHOLE = {"HUNDRED": 100, "TEN_THOUSAND": 10_000, "1": 10_000, "MILLION": 1_000_000, "2": 1_000_000}
_ADDRESSES = ("%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%")

# Causes of a retry that a slow extauth is none of.
_BROKEN = frozenset({"connect-failure", "refused-stream", "reset", "reset-before-request"})


def findings_of_question(manager: Manager, facts: Facts) -> Iterator[Finding]:
    """Yield what is wrong with the check of a connection manager that has one."""
    yield from _of_order(manager)
    yield from _of_filter(manager.check)
    service = manager.check.get("http_service")
    if not service:
        yield Finding(
            "check-protocol",
            manager.check.where,
            "the check is not made over HTTP, which is all that extauth speaks",
            "http_service with server_uri, path_prefix, authorization_request and authorization_response",
        )
        return
    yield from _of_service(service, facts)
    yield from findings_of_cluster(manager, service.get("server_uri", "cluster"), facts)
    yield from _of_request(manager.check, service)
    yield from _of_response(service.get("authorization_response"), facts)


def _of_order(manager: Manager) -> Iterator[Finding]:
    for one in manager.before:
        if any(one.get("typed_config").is_a(kind) for kind in _ACTING):
            yield Finding(
                "check-too-late",
                one.where,
                f"{one.get('name').text or 'a filter'} acts on requests before they are checked",
                "put it behind envoy.filters.http.ext_authz",
            )


def _of_filter(check: Node) -> Iterator[Finding]:
    if check.get("failure_mode_allow").is_true:
        yield Finding(
            "fails-open",
            check.get("failure_mode_allow").where,
            "requests pass unchecked while extauth is gone",
            "failure_mode_allow: false",
        )
    for name in ("filter_enabled", "filter_enabled_metadata"):
        if check.get(name) and (check.get(name, "runtime_key") or not _is_whole(check.get(name))):
            yield Finding(
                "check-partial", check.get(name).where, f"{name} leaves requests unchecked", f"no {name}"
            )
    if check.get("status_on_error", "code").value not in (503, "ServiceUnavailable"):
        yield Finding(
            "failure-status",
            check.get("status_on_error").where,
            "clients get 403 when it is extauth that is missing",
            "status_on_error: { code: 503 }",
        )
    if not check.get("validate_mutations").is_true:
        yield Finding(
            "mutations-unchecked",
            check.get("validate_mutations").where,
            "headers of answers are taken as they come",
            "validate_mutations: true",
        )
    if check.get("with_request_body"):
        yield Finding(
            "body-sent",
            check.get("with_request_body").where,
            "the check has the body",
            "no with_request_body",
        )


def _is_whole(enabled: Node) -> bool:
    fraction = enabled.get("default_value")
    whole = _WHOLE.get(str(fraction.get("denominator").value or "HUNDRED"))
    return whole is not None and bool(fraction.get("numerator").value == whole)


def _of_service(service: Node, facts: Facts) -> Iterator[Finding]:
    prefix = service.get("path_prefix")
    if prefix.text != _PREFIX:
        yield Finding(
            "check-prefix", prefix.where, f"the prefix is {prefix.text!r}", f"path_prefix: {_PREFIX}"
        )
    timeout = service.get("server_uri", "timeout")
    instead = f"timeout: {in_seconds(facts.timeout)}"
    given = timedelta(milliseconds=timeout.milliseconds or 0)
    if given < facts.shortest_timeout:
        yield Finding(
            "check-timeout",
            timeout.where,
            f"the check may take {in_seconds(given)}; the store's deadline and the longest wait are "
            f"{in_seconds(facts.shortest_timeout)} together",
            instead,
        )
    elif given > facts.timeout + _LONG:
        yield Finding("check-timeout-long", timeout.where, f"the check may take {in_seconds(given)}", instead)
    yield from _of_retries(service.get("retry_policy"), facts)


def _of_retries(retries: Node, facts: Facts) -> Iterator[Finding]:
    """Yield what is wrong with a check that is made again."""
    if not retries:
        return
    causes = retries.get("retry_on")
    if not {cause.strip() for cause in causes.text.split(",")} <= _BROKEN:
        yield Finding(
            "check-retried",
            causes.where,
            "a check is repeated for more than a connection that broke",
            "retry_on: connect-failure,reset",
        )
    # Envoy takes it for the longest time of one attempt, too.
    longest = retries.get("retry_back_off", "max_interval")
    attempt = timedelta(milliseconds=longest.milliseconds or 0)
    if longest and attempt < facts.shortest_timeout:
        yield Finding(
            "check-timeout",
            longest.where,
            f"one attempt may take {in_seconds(attempt)}; the store's deadline and the longest wait are "
            f"{in_seconds(facts.shortest_timeout)} together",
            f"max_interval: {in_seconds(facts.timeout)}",
        )


def findings_of_cluster(manager: Manager, cluster: Node, facts: Facts) -> Iterator[Finding]:
    """Yield what is wrong with the cluster of checks."""
    node = manager.clusters.get(cluster.text)
    addresses = manager.addresses(cluster.text)
    if addresses != {str(facts.check)}:
        yield Finding(
            "check-address",
            cluster.where if node is None else node.where,
            f"the check goes to {listed(sorted(addresses)) or 'no cluster'}; extauth is at {facts.check}",
            f"the cluster `extauth` of the shipped file, with {facts.check}",
        )
    if node is None:
        return
    options = manager.protocol(cluster.text)
    if node.get("http2_protocol_options") or options.get("explicit_http_config", "http2_protocol_options"):
        yield Finding(
            "check-protocol",
            node.where,
            "the check is made over HTTP/2",
            "http_protocol_options: {} in the cluster",
        )
    yield from findings_of_idle(node, options, facts)


def findings_of_idle(node: Node, options: Node, facts: Facts) -> Iterator[Finding]:
    """Yield a finding where idle connections of a cluster are kept too long."""
    idle = options.get("common_http_protocol_options", "idle_timeout")
    kept = timedelta(milliseconds=idle.milliseconds) if idle.milliseconds is not None else _DEFAULT_IDLE
    if kept >= facts.idle_limit:
        yield Finding(
            "idle-timeout",
            idle.where if idle else node.where,
            f"idle connections are kept for {in_seconds(kept)}, and extauth closes after "
            f"{in_seconds(facts.idle_limit)}",
            f"common_http_protocol_options: {{ idle_timeout: {in_seconds(facts.idle)} }}",
        )


def _of_request(check: Node, service: Node) -> Iterator[Finding]:
    request = service.get("authorization_request")
    lists = (check.get("allowed_headers"), request.get("allowed_headers"))
    missing = [
        name for name in ("x-api-key", REQUEST_ID) if not any(any_matches(allowed, name) for allowed in lists)
    ]
    # Envoy sends this one unless it is told not to.
    missing += [
        name
        for name in ("authorization", "x-api-key")
        if any_matches(check.get("disallowed_headers"), name) and name not in missing
    ]
    if missing:
        yield Finding(
            "check-headers",
            check.get("allowed_headers").where,
            f"the check comes without {listed(missing)}",
            " ".join(f"- {{ exact: {name} }}" for name in missing),
        )
    added = {one.get("key").text.lower(): one for one in request.get("headers_to_add").items()}
    instead = f'- {{ key: {CLIENT_ADDRESS}, value: "{_ADDRESSES[0]}" }}'
    address = added.get(CLIENT_ADDRESS)
    if address is None:
        yield Finding(
            "client-address-unknown",
            request.get("headers_to_add").where,
            f"no {CLIENT_ADDRESS} is added",
            instead,
        )
    elif address.get("value").text not in _ADDRESSES:
        yield Finding(
            "client-address-believed",
            address.where,
            f"{CLIENT_ADDRESS} is {address.get('value').text}",
            instead,
        )


def _of_response(response: Node, facts: Facts) -> Iterator[Finding]:
    upstream = response.get("allowed_upstream_headers")
    appended = response.get("allowed_upstream_headers_to_append")
    if missing := [name for name in IDENTITY if not any_matches(upstream, name)]:
        yield Finding(
            "identity-not-passed", upstream.where, f"{listed(missing)} are not passed on", _listed(missing)
        )
    if added := [name for name in IDENTITY if any_matches(appended, name)]:
        yield Finding(
            "identity-appended",
            appended.where,
            f"{listed(added)} are added beside the client's own",
            "allowed_upstream_headers",
        )
    client = response.get("allowed_client_headers")
    success = response.get("allowed_client_headers_on_success")
    for code, where, names in (
        ("limits-not-told", success, LIMITS),
        ("rotation-not-told", success, ROTATION),
        # Without a list Envoy passes all headers of a refusal.
        ("limits-not-told", client, _REFUSAL if client else ()),
        ("rotation-not-told", client, ROTATION if client else ()),
        ("refusal-type", client, ("content-type",) if client else ()),
    ):
        if missing := [name for name in names if not any_matches(where, name)]:
            yield Finding(code, where.where, f"{listed(missing)} are not passed on", _listed(missing))
    metadata = response.get("dynamic_metadata_from_headers")
    if facts.in_flight and not any_matches(metadata, LEASE):
        yield Finding("lease-forgotten", metadata.where, f"{LEASE} is not kept", _listed([LEASE]))


def _listed(names: list[str]) -> str:
    return "in patterns: " + " ".join(f"- {{ exact: {name} }}" for name in names)
