"""The parts of Envoy's configuration that have to do with extauth, and where they are found."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from extauth.proxies.checking.envoy_reader import Node
from extauth.proxies.checking.patterns import compiled
from extauth.settings.values import Address

_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


# The configuration of routes, a virtual host, a route, and one of its weighted clusters if it has some.
Way = tuple[Node, ...]


class Manager(NamedTuple):
    """An HttpConnectionManager: itself, its filters before and behind the check, the check, and all clusters.

    `check` is empty where there is none; then all filters are before it. `always` are those before it that
    no route switches off on its way to an upstream.
    """

    node: Node
    before: tuple[Node, ...]
    always: tuple[Node, ...]
    check: Node
    check_filter: Node
    behind: tuple[Node, ...]
    clusters: dict[str, Node]

    def hosts(self) -> Iterator[Node]:
        """Yield the virtual hosts."""
        return self.node.get("route_config", "virtual_hosts").items()

    def places(self) -> Iterator[Node]:
        """Yield all that configures ways to upstreams, each once."""
        yield self.node.get("route_config")
        for host in self.hosts():
            yield host
            for route in host.get("routes").items():
                yield route
                yield from _weighted(route)

    def addresses(self, cluster: str) -> set[str]:
        """Return where a cluster leads, as extauth writes addresses."""
        node = self.clusters.get(cluster)
        if node is None:
            return set()
        return {
            address_of(one.get("endpoint", "address"))
            for endpoints in node.get("load_assignment", "endpoints").items()
            for one in endpoints.get("lb_endpoints").items()
        }

    def protocol(self, cluster: str) -> Node:
        """Return the protocol options of a cluster."""
        node = self.clusters.get(cluster)
        return (node or self.node.get("no such cluster")).get(
            "typed_extension_protocol_options", _HTTP_OPTIONS
        )


def managers_of(root: Node) -> Iterator[Manager]:
    """Yield all HttpConnectionManagers of the listeners that the file holds."""
    clusters = {one.get("name").text: one for one in root.get("static_resources", "clusters").items()}
    for node in network_filters(root, "HttpConnectionManager"):
        yield _manager(node, clusters)


def network_filters(root: Node, kind: str) -> Iterator[Node]:
    """Yield the settings of all network filters of a kind."""
    for listener in root.get("static_resources", "listeners").items():
        for chain in (*listener.get("filter_chains").items(), listener.get("default_filter_chain")):
            for network in chain.get("filters").items():
                node = network.get("typed_config")
                if node.is_a(kind):
                    yield node


def _manager(node: Node, clusters: dict[str, Node]) -> Manager:
    filters = tuple(node.get("http_filters").items())
    found = (place for place, one in enumerate(filters) if one.get("typed_config").is_a("ExtAuthz"))
    place = next(found, len(filters))
    check_filter = filters[place] if place < len(filters) else node.get("http_filters", "ext_authz")
    ways = [*ways_of(node)] or [()]
    before = filters[:place]
    return Manager(
        node=node,
        before=before,
        always=tuple(one for one in before if all(is_on(one, way) for way in ways)),
        check=check_filter.get("typed_config"),
        check_filter=check_filter,
        behind=filters[place + 1 :],
        clusters=clusters,
    )


def address_of(node: Node) -> str:
    """Return an address as extauth writes it."""
    if path := node.get("pipe", "path").text:
        return f"unix:{path}"
    socket = node.get("socket_address")
    port = socket.get("port_value").value
    return str(Address(socket.get("address").text, port if isinstance(port, int) else 0))


def matches(matcher: Node, name: str) -> bool:
    """Tell whether a StringMatcher fits a name in lower case."""
    for kind, value in matcher.fields():
        text = value.text.lower()
        found = {
            "exact": name == text,
            "prefix": bool(text) and name.startswith(text),
            "suffix": bool(text) and name.endswith(text),
            "contains": bool(text) and text in name,
            "safe_regex": _fits(value.get("regex").text, name),
            "safeRegex": _fits(value.get("regex").text, name),
        }.get(kind, False)
        if found:
            return True
    return False


def any_matches(patterns: Node, name: str) -> bool:
    """Tell whether one of a ListStringMatcher fits."""
    return any(matches(pattern, name) for pattern in patterns.get("patterns").items())


def _fits(regex: str, name: str) -> bool:
    pattern = compiled(regex)
    return pattern is not None and pattern.fullmatch(name) is not None


def ways_of(node: Node) -> Iterator[Way]:
    """Yield each way of a connection manager to an upstream, from the outermost to the innermost place."""
    outermost = node.get("route_config")
    for host in outermost.get("virtual_hosts").items():
        for route in host.get("routes").items():
            if route.get("route"):
                own: Way = (outermost, host, route)
                yield from [(*own, one) for one in _weighted(route)] or [own]


def _weighted(route: Node) -> Iterator[Node]:
    yield from route.get("route", "weighted_clusters", "clusters").items()


def is_on(one: Node, way: Way) -> bool:
    """Tell whether a filter works on a way; without one, whether it does where no route says otherwise."""
    name = one.get("name").text
    for place in reversed(way):
        own = place.get("typed_per_filter_config", name)
        if own:
            # FilterConfig says so; any other settings switch on what is off by default.
            return not own.get("disabled").is_true
    return not one.get("disabled").is_true


def removes(manager: Manager, name: str) -> bool:
    """Tell whether a header of the client is removed before the check."""
    extensions = manager.node.get("early_header_mutation_extensions").items()
    mutations = [one.get("typed_config", "mutations") for one in extensions]
    mutations += [one.get("typed_config", "mutations", "request_mutations") for one in manager.always]
    return any(_removes(one, name) for group in mutations for one in group.items())


def _removes(mutation: Node, name: str) -> bool:
    if mutation.get("remove").text.lower() == name:
        return True
    return matches(mutation.get("remove_on_match", "key_matcher"), name)


def header_names(nodes: Iterator[Node]) -> set[str]:
    """Return the names, in lower case, of headers that are added."""
    return {one.get("header", "key").text.lower() for one in nodes}
