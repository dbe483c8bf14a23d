"""What a proxy's configuration has to say, as it follows from the settings in force."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta

from extauth.proxies.shipped import ProxyConfigurationError
from extauth.settings.concurrency import ConcurrencySettings
from extauth.settings.model import Settings
from extauth.settings.values import Address

# A warm check takes far less than a millisecond, but the first one of a key waits for argon2.
_SHORTEST_TIMEOUT = timedelta(seconds=1)
# For what is neither the store nor the queue: the way, a busy machine.
_GRACE = timedelta(milliseconds=500)
_LONGEST_IDLE = timedelta(seconds=60)
# The proxy lets go of an idle connection when this much of extauth's own patience is over.
_IDLE_SHARE = 0.8
_LONGEST_BETWEEN_REPORTS = timedelta(seconds=15)
# As many reports as a lease may miss and still live: docs/throttling.md, timeouts that have to fit.
_REPORTS_OF_A_LEASE = 3
_MILLISECOND = timedelta(milliseconds=1)
_ANY_HOST = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - no address to bind, but to tell from others
_PLAIN_PATH = re.compile(r"[A-Za-z0-9._@+/-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the settings make of a proxy's configuration. Addresses are those that a proxy connects to."""

    check: Address
    completion: Address
    datagrams: Address
    """Where reports are taken as datagrams: beside `completion`."""
    pages: str
    """The address of the admin listener, whose pages for consumers may be published without a check."""
    timeout: timedelta
    """How long the proxy has to wait for a check."""
    shortest_timeout: timedelta
    """With less than this, somebody who waits for a slot gets the proxy's 503."""
    idle: timedelta
    """After what time the proxy lets go of an idle connection to extauth."""
    idle_limit: timedelta
    """When extauth itself does."""
    between_reports: timedelta
    """How often a proxy that is able to reports that a request still runs."""
    security: Mapping[str, str]
    """Headers of every answer, by the names that operators write."""
    in_flight: bool
    """Whether a tier or a route limits requests in flight."""
    shortest_lease: timedelta
    """When the first of these counts as ended whose end nobody reports."""
    token_source: str
    """Where the token stands that reports over HTTP must bring, in words; empty where they need none."""
    key_in_query: bool
    warnings: tuple[str, ...]
    """What the settings ask for that no proxy's configuration can give."""


def facts_of(settings: Settings) -> Facts:
    """Work out what a proxy's configuration has to say.

    Raises:
        ProxyConfigurationError: A listener has an address that can't be written into a configuration.
    """
    check = _reachable(settings.listen.check, "listen.check")
    completion = _reachable(settings.listen.completion, "listen.completion")
    limits = [limit for limit, _ in _concurrency(settings)]
    wait = max((limit.to_concurrency().wait_us for limit in limits), default=0)
    leases = [lease for _, lease in _concurrency(settings)]
    shortest_lease = min(leases, default=timedelta.max)
    needed = settings.failure.deadline + timedelta(microseconds=wait)
    idle_limit = settings.listen.idle_timeout
    return Facts(
        check=check,
        completion=completion,
        datagrams=completion.for_datagrams(),
        pages=str(_on_this_machine(settings.listen.admin)),
        timeout=max(_SHORTEST_TIMEOUT, needed + _GRACE),
        shortest_timeout=needed,
        idle=min(_LONGEST_IDLE, _whole(idle_limit * _IDLE_SHARE)),
        idle_limit=idle_limit,
        between_reports=min(_LONGEST_BETWEEN_REPORTS, _whole(shortest_lease / _REPORTS_OF_A_LEASE)),
        security=settings.headers.security,
        in_flight=bool(limits),
        shortest_lease=shortest_lease,
        token_source=_token_source(settings),
        key_in_query=settings.credentials.query_parameter,
        warnings=tuple(_warnings(settings, completion)),
    )


def _concurrency(settings: Settings) -> Iterator[tuple[ConcurrencySettings, timedelta]]:
    """Yield each limit on requests in flight, and how long a lease of it lasts."""
    for tier in settings.tiers.values():
        if tier.concurrency is not None and not tier.shadow:
            yield tier.concurrency, tier.concurrency.ttl
            # A route's own patience goes before the tier's.
            for route in settings.routes:
                if route.timeout is not None and not route.shadow:
                    yield tier.concurrency, route.timeout
    for route in settings.routes:
        if route.concurrency is not None and not route.shadow:
            yield route.concurrency, route.timeout or route.concurrency.ttl


def _token_source(settings: Settings) -> str:
    if settings.throttle.token_file is not None:
        return f"what stands in {settings.throttle.token_file}"
    return "what throttle.token says" if settings.throttle.token is not None else ""


def _reachable(address: Address, name: str) -> Address:
    """Return what a proxy on this machine connects to."""
    if address.is_unix:
        if not _PLAIN_PATH.fullmatch(address.path):
            raise ProxyConfigurationError(
                f"{name}: the proxies read a path of other characters than letters, digits and '._@+/-' each "
                "in its own way; choose another path for the socket"
            )
        return address
    if address.port == 0:
        raise ProxyConfigurationError(
            f"{name}: with port 0 the system chooses one anew at each start; name a port for proxies"
        )
    return _on_this_machine(address)


def _on_this_machine(address: Address) -> Address:
    if address.is_unix:
        return address
    return Address(_ANY_HOST.get(address.host, address.host), address.port)


def _warnings(settings: Settings, completion: Address) -> Iterator[str]:
    for name in ("check", "completion"):
        address = getattr(settings.listen, name)
        if address.host in _ANY_HOST:
            yield (
                f"listen.{name} is every address of its machine: {_ANY_HOST[address.host]} is written here, "
                "which is right only for a proxy on the same machine"
            )
    if settings.credentials.query_parameter:
        yield (
            "credentials.query_parameter is on: no proxy can take a key in the query out of the request, so "
            "the upstream sees it; keep queries out of access logs"
        )
    try:
        host = ipaddress.ip_address(completion.host)
    except ValueError:
        return
    if host.is_loopback and not any(host in network for network in settings.throttle.sources):
        yield (
            f"throttle.sources does not hold {host}, from where this proxy reports that requests ended: its "
            "reports are not read"
        )


def _whole(duration: timedelta) -> timedelta:
    return duration // _MILLISECOND * _MILLISECOND
