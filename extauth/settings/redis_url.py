"""What the URL of a Redis says: one server, Sentinels that know which server it is, or a cluster.

Pure functions of text. No message repeats any of it, because a URL may hold a password.
"""

from __future__ import annotations

import re
import urllib.parse
from dataclasses import dataclass, field
from typing import Literal

from extauth.settings.values import Address, parse_address

Kind = Literal["server", "sentinel", "cluster"]

_KINDS: dict[str, Kind] = {"": "server", "+sentinel": "sentinel", "+cluster": "cluster"}
_SCHEME = re.compile(r"(?P<scheme>rediss?)(?P<kind>|\+sentinel|\+cluster)://")
REDIS_SCHEMES = tuple(f"{scheme}{kind}" for kind in _KINDS for scheme in ("redis", "rediss"))
_PORT = 6379
_SENTINEL_PORT = 26_379
_DATABASE = re.compile(r"[0-9]{1,4}")
_SERVICE = re.compile(r"[A-Za-z0-9._-]{1,255}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisUrl:
    """Where a Redis is. `hosts` are those of the Sentinels, or some of a cluster, which tells the others."""

    kind: Kind
    tls: bool
    hosts: tuple[tuple[str, int], ...]
    service: str = ""
    database: int = 0
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        hosts = ", ".join(str(Address(host, port)) for host, port in self.hosts)
        if self.kind == "sentinel":
            return f"Redis {self.service} of the Sentinels {hosts}"
        return f"Redis cluster {hosts}" if self.kind == "cluster" else f"Redis {hosts}"


def parse_redis_url(url: str) -> RedisUrl:
    """Read a URL.

    Raises:
        ValueError: It is none, or says what that kind of Redis doesn't know.
    """
    scheme = _SCHEME.match(url)
    if scheme is None:
        raise ValueError("must begin with one of " + ", ".join(f"{name}://" for name in REDIS_SCHEMES))
    kind = _KINDS[scheme["kind"]]
    if not url.isprintable() or " " in url or "?" in url or "#" in url:
        raise ValueError("must have no options, blanks, '?' and '#'; a password has %3F and %23 for them")
    authority, _, path = url[scheme.end() :].partition("/")
    credentials, _, hosts = authority.rpartition("@")
    user, password = _credentials(credentials)
    service, database = _path(kind, path)
    return RedisUrl(
        kind=kind,
        tls=scheme["scheme"] == "rediss",
        hosts=_hosts(kind, hosts),
        service=service,
        database=database,
        user=user,
        password=password,
    )


def hide_password(url: str, by: str) -> str:
    """Replace the password of a URL that was checked."""
    start, separator, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    credentials, at, hosts = authority.rpartition("@")
    user, colon, password = credentials.partition(":")
    if user and not colon:
        # Often a password that stands in the user's place by mistake.
        user = by
    return f"{start}{separator}{user}{colon}{by if password else ''}{at}{hosts}{slash}{path}"


def _credentials(text: str) -> tuple[str | None, str | None]:
    user, _, password = text.partition(":")
    return urllib.parse.unquote(user) or None, urllib.parse.unquote(password) or None


def _hosts(kind: Kind, text: str) -> tuple[tuple[str, int], ...]:
    default = _SENTINEL_PORT if kind == "sentinel" else _PORT
    hosts = tuple(_host(host, default) for host in text.split(","))
    if kind == "server" and len(hosts) > 1:
        raise ValueError("names several hosts: write redis+sentinel:// or redis+cluster://")
    if len(set(hosts)) != len(hosts):
        raise ValueError("names a host twice")
    return hosts


def _host(text: str, default_port: int) -> tuple[str, int]:
    has_port = re.search(r":[0-9]+\Z", text) is not None and (text.startswith("[") or text.count(":") == 1)
    try:
        address = parse_address(text if has_port else f"{text}:{default_port}")
    except ValueError:
        address = None
    if address is None or address.is_unix or address.port == 0:
        raise ValueError("must name hosts such as redis://db.example.com:6379 or redis://[::1]:6379")
    return address.host, address.port


def _path(kind: Kind, text: str) -> tuple[str, int]:
    service, slash, database = text.partition("/") if kind == "sentinel" else ("", "/", text)
    if kind == "sentinel" and not _SERVICE.fullmatch(service):
        raise ValueError("must name the service: redis+sentinel://host:26379,host:26379/mymaster")
    if slash and database and not _DATABASE.fullmatch(database):
        raise ValueError("must end with the number of a database, such as /0, or with nothing")
    number = int(database or 0)
    if kind == "cluster" and number:
        raise ValueError("a cluster has no databases")
    return service, number
