"""What holds at a place of nginx's configuration: which directives it inherits, and where a name leads."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from extauth.proxies.checking.nginx_reader import Directive

PASSES = ("proxy_pass", "grpc_pass", "fastcgi_pass", "uwsgi_pass", "scgi_pass")
# What else makes an answer of a request, and not of a file by its path alone.
HANDLERS = (
    *PASSES, "memcached_pass", "dav_methods", "content_by_lua_block", "content_by_lua_file", "js_content",
)  # fmt: skip
SERVES = (*HANDLERS, "root", "alias", "try_files", "autoindex", "empty_gif")
# Blocks within a location that are a location to nginx.
_INNER = ("location", "if", "limit_except")
_URL = re.compile(r"(?P<scheme>https?)://(?P<place>unix:[^:]+:?|[^/]*)(?P<path>.*)", re.DOTALL)
_DEFAULT_PORT = "80"


class Scope(NamedTuple):
    """A block, within those around it, the outermost first."""

    chain: tuple[Directive, ...]

    @property
    def own(self) -> Directive:
        """The block itself."""
        return self.chain[-1]

    @property
    def where(self) -> str:
        """File and line of the block."""
        return self.own.where

    def level(self, name: str) -> tuple[Directive, ...]:
        """Return the directives of a name that hold here: its own, else those of the next block outside."""
        for block in reversed(self.chain):
            if found := tuple(block.inner(name)):
                return found
        return ()

    def first(self, name: str) -> Directive | None:
        """Return the one directive of a name that holds here."""
        return next(iter(self.level(name)), None)

    def value(self, name: str, default: str = "") -> str:
        """Return the arguments of the one directive of a name that holds here."""
        found = self.first(name)
        return " ".join(found.args) if found else default

    def fields(self, name: str) -> dict[str, str]:
        """Return name and value of directives such as `proxy_set_header`, names in lower case."""
        return {
            directive.args[0].lower(): directive.args[1] if len(directive.args) > 1 else ""
            for directive in self.level(name)
            if directive.args
        }

    def repeated(self, name: str) -> set[str]:
        """Return the first arguments, in lower case, that stand there twice: nginx sends both."""
        seen = [directive.args[0].lower() for directive in self.level(name) if directive.args]
        return {one for one in seen if seen.count(one) > 1}

    def names(self, name: str) -> set[str]:
        """Return the first arguments, in lower case."""
        return {directive.args[0].lower() for directive in self.level(name) if directive.args}

    def is_on(self, name: str) -> bool:
        """Tell whether a switch is on here, that is off where nobody says."""
        return self.value(name).lower() == "on"

    @property
    def location(self) -> Directive | None:
        """The location that this is, or is within; None outside of all."""
        return next((block for block in reversed(self.chain) if block.name == "location"), None)

    @property
    def is_internal(self) -> bool:
        """Whether clients can't ask for it; what is within such a location is as well."""
        return any(any(block.inner("internal")) for block in self.chain)

    @property
    def is_named(self) -> bool:
        """Whether it is a location such as `@name`, which other directives alone lead to."""
        location = self.location
        return location is not None and location.args[-1:] != () and location.args[-1].startswith("@")

    @property
    def is_checked(self) -> bool:
        """Whether nginx asks about requests that come here."""
        return self.value("auth_request", "off") != "off"

    def within(self, block: Directive) -> Scope:
        """Return the scope of a block in this one."""
        return Scope((*self.chain, block))


class Target(NamedTuple):
    """Where a `proxy_pass` leads: the name or address, and the path that replaces the request's."""

    scheme: str
    place: str
    path: str


def target_of(url: str) -> Target | None:
    """Read the argument of `proxy_pass`; None where it is no URL."""
    match = _URL.fullmatch(url)
    if match is None:
        return None
    return Target(match["scheme"], match["place"].removesuffix(":"), match["path"])


def changes_path(rewrite: Directive) -> bool:
    """Tell whether a `rewrite` goes on with another path, and doesn't send the client there."""
    return not {"redirect", "permanent"} & set(rewrite.args[2:]) and "://" not in "".join(rewrite.args[1:2])


class Server(NamedTuple):
    """A `server` of HTTP, with what its `http` block defines."""

    scope: Scope
    upstreams: dict[str, Directive]
    formats: dict[str, str]

    def locations(self) -> Iterator[Scope]:
        """Yield all locations, and the blocks in them that are as good as one."""
        waiting = [self.scope]
        while waiting:
            scope = waiting.pop(0)
            for block in scope.own.inner(*_INNER):
                inner = scope.within(block)
                waiting.append(inner)
                yield inner

    def location(self, name: str) -> Scope | None:
        """Return the location of that exact name, be it `@name` or a path."""
        for scope in self.locations():
            if scope.own.name == "location" and scope.own.args in {(name,), ("=", name), ("^~", name)}:
                return scope
        return None

    def addresses(self, place: str) -> set[str]:
        """Return the addresses that a name of `proxy_pass` stands for, with ports."""
        upstream = self.upstreams.get(place)
        found = [place] if upstream is None else [one.args[0] for one in upstream.inner("server") if one.args]
        return {address if _has_port(address) else f"{address}:{_DEFAULT_PORT}" for address in found}


def servers_of(directives: Sequence[Directive]) -> list[Server]:
    """Return all servers of HTTP."""
    found = []
    for http in (directive for directive in directives if directive.name == "http"):
        upstreams = {one.args[0]: one for one in http.inner("upstream") if one.args}
        formats = {one.args[0]: "".join(one.args[1:]) for one in http.inner("log_format") if one.args}
        found += [Server(Scope((http, server)), upstreams, formats) for server in http.inner("server")]
    return found


def _has_port(address: str) -> bool:
    return address.startswith("unix:") or re.search(r":\d+$", address) is not None
