"""The route table.

Which rule applies to a request. Compiled when the configuration loads; the first match wins.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter

from extauth.bounded import Memo
from extauth.limits.plan import PLAIN_CHARGE, Charge
from extauth.model import LONGEST_REMEMBERED, Target
from extauth.paths import is_unambiguous

# For how many targets the route is remembered; paths with ids in them come and go.
_REMEMBERED = 16_384
_REMEMBERED_HOSTS = 1_024


class Access(enum.Enum):
    """What a route asks of the caller."""

    REQUIRED = "required"
    OPTIONAL = "optional"
    NONE = "none"
    DENIED = "denied"
    AMBIGUOUS = "ambiguous"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Route:
    """One rule. Empty `methods` or `hosts` mean any; `name` is its bounded label in logs and metrics.

    `charge` is what its requests take beside the limits of their key.
    """

    name: str
    access: Access
    template: str = "/**"
    methods: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    charge: Charge = PLAIN_CHARGE


# RFC 3986 section 3.2.2 and RFC 9110 section 7.2, without user information. HTTP/1.0 may name no host at all.
_HOST = re.compile(r"(?:[A-Za-z0-9\-._~%!$&'()*+;=]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?")

# What every target gets that two parsers could read differently.
AMBIGUOUS = Route(name="", access=Access.AMBIGUOUS)


class RouteTable:
    """Finds the route of a request; targets that can be read two ways never get to a rule."""

    def __init__(self, routes: Sequence[Route], *, default: Route, methods: Iterable[str]) -> None:
        self._routes = tuple((route, _compile_template(route.template)) for route in routes)
        self._default = default
        self._methods = frozenset(methods)
        self._hosts: Memo[str, str | None] = Memo(
            _bare_host, _REMEMBERED_HOSTS, worth_keeping=lambda host: len(host) <= LONGEST_REMEMBERED
        )
        # `verdicts[target]` is `find(target)`, remembered.
        self.verdicts: Memo[Target, Route] = Memo(self.find, _REMEMBERED, worth_keeping=attrgetter("short"))

    def find(self, target: Target) -> Route:
        """Return the first matching route or the default one, or `AMBIGUOUS`.

        The method must be one of the configured ones to the letter: a lower-case `get` or an unknown method
        is one more thing that two parties could read differently.
        """
        method, path = target.method, target.path
        bare_host = self._hosts[target.host]
        if method not in self._methods or bare_host is None or not is_unambiguous(path):
            return AMBIGUOUS
        for route, pattern in self._routes:
            if route.methods and method not in route.methods:
                continue
            if route.hosts and not any(_host_matches(bare_host, host_rule) for host_rule in route.hosts):
                continue
            if pattern.fullmatch(path):
                return route
        return self._default


def _bare_host(host: str) -> str | None:
    return normalise_host(host) if _HOST.fullmatch(host) else None


def normalise_host(host: str) -> str:
    """Return the host in lower case without port and final dot: the same server (RFC 9110 section 4.2.3)."""
    name = host.lower()
    if name.startswith("["):
        return name.partition("]")[0] + "]"
    return name.partition(":")[0].removesuffix(".")


def _host_matches(host: str, rule: str) -> bool:
    rule = rule.lower()
    if rule.startswith("*."):
        return host.endswith(rule[1:]) and len(host) > len(rule) - 1
    return host == rule


def _compile_template(template: str) -> re.Pattern[str]:
    """Compile `/v1/orders/{id}` (one segment) and `/v1/**` (`/v1` itself, `/v1/`, and all below it)."""
    if template == "/**":
        return re.compile(r"/.*")
    rest = template.endswith("/**")
    parts = []
    for segment in template.removesuffix("/**").split("/")[1:]:
        one_segment = segment == "*" or (segment.startswith("{") and segment.endswith("}"))
        parts.append("[^/]+" if one_segment else re.escape(segment))
    return re.compile("/" + "/".join(parts) + ("(?:/.*)?" if rest else ""))
