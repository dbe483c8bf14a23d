"""Settings under which configurations are printed, each with what it is about."""

from __future__ import annotations

from typing import Any, NamedTuple

from extauth.proxies.places import Places
from extauth.proxies.printing import KINDS, Printed, places_of, print_configuration
from extauth.settings.model import Settings
from extauth.settings.values import parse_address

TOKEN = "a-token-that-nobody-may-see"


class Variant(NamedTuple):
    """Settings, and the addresses that are given on the command line."""

    settings: dict[str, Any]
    listen: str = ""
    upstream: str = ""
    internal: str = ""

    def places(self, proxy: str) -> Places:
        """Return where a proxy listens and sends requests."""
        internal = self.internal if KINDS[proxy].internal else ""
        given = {"listen": self.listen, "upstream": self.upstream, "internal": internal}
        return places_of(proxy, **{name: parse_address(text) for name, text in given.items() if text})

    def printed(self, proxy: str) -> Printed:
        """Return what is printed for a proxy."""
        return print_configuration(proxy, Settings.model_validate(self.settings), self.places(proxy))


_LISTEN = {"check": "127.0.0.1:19000", "admin": "127.0.0.1:19001", "completion": "127.0.0.1:19002"}
_SOCKETS = {"check": "unix:/run/extauth/check.sock", "completion": "unix:/run/extauth/completion.sock"}
_QUEUE = {"max": 4, "queue": 8, "wait": "2500ms", "ttl": "30s"}

VARIANTS = {
    "defaults": Variant({}),
    "other ports": Variant(
        {"listen": {**_LISTEN, "idle_timeout": "30s"}},
        "127.0.0.1:18080",
        "127.0.0.1:18082",
        "127.0.0.1:18090",
    ),
    "all addresses": Variant({"listen": {"check": "0.0.0.0:9000"}}, "0.0.0.0:18080"),
    "IPv6": Variant(
        {"listen": {"check": "[::1]:9000", "completion": "[::1]:9002"}},
        "[::1]:18080",
        "[::1]:18082",
        "[::1]:18090",
    ),
    "names": Variant(
        {"listen": {"check": "localhost:9000", "completion": "localhost:9002"}}, upstream="localhost:18082"
    ),
    "sockets": Variant({"listen": _SOCKETS}),
    "queue": Variant(
        {
            "tiers": {"free": {"concurrency": _QUEUE}},
            "routes": [{"path": "/long", "timeout": "10s"}],
            "failure": {"deadline": "100ms"},
        }
    ),
    "token": Variant({"throttle": {"token": TOKEN}, "tiers": {"free": {"concurrency": {"max": 1}}}}),
    "headers": Variant(
        {
            "headers": {
                "security": {
                    "X-Frame-Options": "DENY",
                    "Permissions-Policy": 'camera=(self "https://a.example"), geolocation=()',
                    "Strict-Transport-Security": "max-age=63072000; includeSubDomains",
                    "X-Percent": "100%",
                }
            }
        }
    ),
    "no headers": Variant({"headers": {"security": {}}}),
    "key in the query": Variant({"credentials": {"query_parameter": True}}),
}
# Traefik reaches no unix socket.
POSSIBLE = [(proxy, name) for proxy in KINDS for name in VARIANTS if (proxy, name) != ("traefik", "sockets")]
