"""Looks for headers of identity that Envoy itself sets: an upstream takes them for extauth's word."""

from __future__ import annotations

from collections.abc import Iterator

from extauth.proxies.checking.envoy_parts import Manager, is_on, ways_of
from extauth.proxies.checking.envoy_reader import Node
from extauth.proxies.checking.findings import Finding
from extauth.proxies.checking.names import IDENTITY

_MUTATIONS = ("mutations", "request_mutations")


def findings_of_identity(manager: Manager) -> Iterator[Finding]:
    """Yield each header of identity that is set by something else than the check's answer.

    Also before the check: of a request that needs no key extauth says no identity, and what is there stays.
    """
    for added in (*_by_routes(manager), *_by_filters(manager)):
        header = added.get("header")
        # Many frameworks read an underscore as a dash.
        name = header.get("key").text.lower().replace("_", "-")
        if name in IDENTITY and not _is_extauths(manager, name, header):
            yield Finding(
                "identity-replaced",
                added.where,
                f"{name} is what stands here, whoever calls and even if nobody is known",
                "no such header: the check's answer sets it; a name of your own for what is yours",
            )


def _is_extauths(manager: Manager, name: str, header: Node) -> bool:
    """Tell whether a header gets what extauth said under that name, or nothing."""
    value = header.get("value").text.lower()
    kept = f"%dynamic_metadata({manager.check_filter.get('name').text.lower()}:{name})%"
    return value in {f"%req({name})%", kept} or not (value or header.get("raw_value"))


def _by_routes(manager: Manager) -> Iterator[Node]:
    for place in manager.places():
        yield from place.get("request_headers_to_add").items()
        for _, written in place.get("typed_per_filter_config").fields():
            value = written.get("config") or written
            if value.is_a("HeaderMutationPerRoute") and not written.get("disabled").is_true:
                yield from _appended(value)


def _by_filters(manager: Manager) -> Iterator[Node]:
    ways = [*ways_of(manager.node)] or [()]
    for one in (*manager.before, *manager.behind):
        settings = one.get("typed_config")
        if any(is_on(one, way) for way in ways):
            yield from _appended(settings)
            # The router's own filters, which all upstreams share.
            yield from _of_upstreams(settings.get("upstream_http_filters"))
    for one in manager.node.get("early_header_mutation_extensions").items():
        yield from (each.get("append") for each in one.get("typed_config", "mutations").items())
    for name in manager.clusters:
        yield from _of_upstreams(manager.protocol(name).get("http_filters"))


def _of_upstreams(filters: Node) -> Iterator[Node]:
    for one in filters.items():
        if not one.get("disabled").is_true:
            yield from _appended(one.get("typed_config"))


def _appended(settings: Node) -> Iterator[Node]:
    yield from (each.get("append") for each in settings.get(*_MUTATIONS).items())
