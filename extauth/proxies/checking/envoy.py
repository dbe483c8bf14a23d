"""Looks through a configuration of Envoy, as far as it stands in the file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from extauth.proxies.checking.envoy_answers import findings_of_answers, findings_of_routes
from extauth.proxies.checking.envoy_client import findings_of_client
from extauth.proxies.checking.envoy_identity import findings_of_identity
from extauth.proxies.checking.envoy_parts import Manager, managers_of, network_filters
from extauth.proxies.checking.envoy_question import findings_of_question
from extauth.proxies.checking.envoy_reader import read_envoy
from extauth.proxies.checking.envoy_reports import findings_of_reports
from extauth.proxies.checking.findings import Finding, UnreadableError
from extauth.proxies.facts import Facts


def check_envoy(path: Path, facts: Facts) -> list[Finding]:
    """Return what is unsafe or missing in a configuration.

    Raises:
        UnreadableError: It can't be read, or no client can reach anything by it.
    """
    root = read_envoy(path)
    managers = list(managers_of(root))
    if not managers:
        raise UnreadableError(
            f"{path}: no HttpConnectionManager in static_resources.listeners, so there is nothing to look at"
        )
    found = [finding for manager in managers for finding in _of_manager(manager, facts)]
    if root.get("dynamic_resources"):
        where = root.get("dynamic_resources").where
        found.append(
            Finding("elsewhere", where, "parts come over the network", "look at them where they are")
        )
    found += [
        Finding("elsewhere", raw.where, "connections are passed on as they are", "look at whom they reach")
        for raw in network_filters(root, "TcpProxy")
    ]
    return list(dict.fromkeys(found))


def _of_manager(manager: Manager, facts: Facts) -> Iterator[Finding]:
    hidden = next((one for one in manager.before if one.get("config_discovery")), None)
    if not manager.check and hidden is not None:
        yield Finding("elsewhere", hidden.where, "a filter comes over the network", "look at it where it is")
        return
    if not manager.check or manager.check_filter.get("disabled").is_true:
        yield Finding(
            "unchecked",
            manager.node.get("http_filters").where,
            "no envoy.filters.http.ext_authz is among the filters",
            "the filter envoy.filters.http.ext_authz of the shipped file, before all that act on a request",
        )
        return
    for upgrade in manager.node.get("upgrade_configs").items():
        filters = list(upgrade.get("filters").items())
        if filters and not any(one.get("typed_config").is_a("ExtAuthz") for one in filters):
            yield Finding(
                "unchecked",
                upgrade.get("filters").where,
                "requests for an upgrade have filters of their own, and ext_authz is not among them",
                "no filters here, so that they pass those of all requests",
            )
    yield from findings_of_client(manager)
    yield from findings_of_question(manager, facts)
    yield from findings_of_routes(manager, facts)
    yield from findings_of_identity(manager)
    yield from findings_of_answers(manager, facts)
    if facts.in_flight:
        yield from findings_of_reports(manager, facts)
