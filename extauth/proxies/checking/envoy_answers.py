"""Looks at Envoy's routes, and at what its clients get."""

from __future__ import annotations

from collections.abc import Iterator

from extauth.proxies.checking.envoy_parts import Manager, header_names
from extauth.proxies.checking.envoy_reader import Node
from extauth.proxies.checking.findings import Finding
from extauth.proxies.checking.names import IDENTITY, LIMITS, PAGES, listed
from extauth.proxies.facts import Facts

_REWRITES = ("prefix_rewrite", "regex_rewrite", "path_rewrite_policy", "path_rewrite")
_GONE = "UAEX"


def findings_of_routes(manager: Manager, facts: Facts) -> Iterator[Finding]:
    """Yield routes that aren't checked, or get another path."""
    yield from _of_others(manager)
    for place in manager.places():
        for name, written in place.get("typed_per_filter_config").fields():
            # FilterConfig wraps the settings of a filter, and can switch it off itself.
            value = written.get("config") or written
            if (
                (written.get("disabled").is_true or value.get("disabled").is_true)
                and _is_of_check(manager, name, value)
                and not _are_pages(manager, place, facts)
            ):
                yield Finding(
                    "check-disabled",
                    value.where,
                    "such requests reach the upstream unchecked",
                    "a route with `auth: none` in extauth's settings instead",
                )
            if value.get("check_settings", "with_request_body"):
                yield Finding("body-sent", value.where, "the check has the body", "no with_request_body")
        for name in _REWRITES:
            rewrite = place.get("route", name)
            if rewrite:
                yield Finding(
                    "route-rewrites",
                    rewrite.where,
                    "extauth decides about the path before it is rewritten",
                    "extauth's routes for the path that clients send",
                )
        lost = {one.text.lower() for one in place.get("request_headers_to_remove").items()} & {*IDENTITY}
        if lost:
            yield Finding(
                "identity-not-passed",
                place.get("request_headers_to_remove").where,
                f"{listed(sorted(lost))} are removed after extauth has set them",
                "early_header_mutation_extensions, which run before the check",
            )


def _of_others(manager: Manager) -> Iterator[Finding]:
    """Yield that there are routes which don't stand here."""
    dynamic = manager.node.get("route_config", "vhds") or any(host.get("matcher") for host in manager.hosts())
    if manager.node.get("rds") or manager.node.get("scoped_routes") or dynamic:
        yield Finding(
            "elsewhere",
            manager.node.get("rds").where,
            "routes come over the network",
            "look at them where they are",
        )


def _is_of_check(manager: Manager, name: str, value: Node) -> bool:
    return value.is_a("ExtAuthzPerRoute") or name == manager.check_filter.get("name").text


def _are_pages(manager: Manager, route: Node, facts: Facts) -> bool:
    """Tell whether a route leads to extauth's pages for consumers, and to nothing else."""
    cluster = route.get("route", "cluster").text
    return route.get("match", "prefix").text.startswith(PAGES) and manager.addresses(cluster) == {facts.pages}


def findings_of_answers(manager: Manager, facts: Facts) -> Iterator[Finding]:
    """Yield what clients lack."""
    common = {
        one.text.lower() for one in manager.node.get("route_config", "response_headers_to_remove").items()
    }
    for host in manager.hosts():
        removed = common | {one.text.lower() for one in host.get("response_headers_to_remove").items()}
        if doubled := [name for name in LIMITS if name not in removed]:
            yield Finding(
                "limits-doubled",
                host.get("response_headers_to_remove").where,
                f"the upstream's own {listed(doubled)} pass",
                " ".join(f"- {name}" for name in doubled),
            )
    said = _said(manager)
    if missing := [name for name in facts.security if name.lower() not in said]:
        yield Finding(
            "security-headers",
            manager.node.get("http_filters").where,
            f"answers lack {listed(missing)}",
            "the filter envoy.filters.http.header_mutation of the shipped file, before ext_authz",
        )
    yield from _of_failure(manager)


def _said(manager: Manager) -> set[str]:
    """Return the headers that are added to answers."""
    found = header_names(manager.node.get("route_config", "response_headers_to_add").items())
    if hosts := [header_names(host.get("response_headers_to_add").items()) for host in manager.hosts()]:
        found |= set.intersection(*hosts)
    for one in manager.always:
        mutations = one.get("typed_config", "mutations", "response_mutations")
        found |= header_names(mutation.get("append") for mutation in mutations.items())
    return found


def _of_failure(manager: Manager) -> Iterator[Finding]:
    mappers = manager.node.get("local_reply_config", "mappers")
    ours = [mapper for mapper in mappers.items() if _is_of_check_failure(mapper.get("filter"))]
    for mapper in ours:
        if not any(
            one.get("status_code_filter") for one in mapper.get("filter", "and_filter", "filters").items()
        ):
            yield Finding(
                "refusals-overwritten",
                mapper.where,
                f"{_GONE} marks extauth's refusals too, and their bodies are replaced",
                "and_filter with a status_code_filter for 503",
            )
    if not ours:
        yield Finding(
            "failure-unexplained",
            mappers.where,
            "with extauth gone clients get a 503 without a body",
            "the mapper of local_reply_config in the shipped file",
        )


def _is_of_check_failure(condition: Node) -> bool:
    conditions = [condition, *condition.get("and_filter", "filters").items()]
    flags = [one.get("response_flag_filter", "flags") for one in conditions]
    return any(flag.text == _GONE for each in flags for flag in each.items())
