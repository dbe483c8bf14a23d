"""Makes a proxy's configuration of the shipped files and of the settings in force."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import extauth
from extauth.proxies import caddy, envoy, haproxy, nginx, traefik
from extauth.proxies.facts import Facts, facts_of
from extauth.proxies.kinds import ProxyKind
from extauth.proxies.places import Places
from extauth.proxies.shipped import shipped_files, without_head
from extauth.proxies.spelling import plain
from extauth.settings.model import Settings
from extauth.settings.values import Address

_WIDTH = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Printed:
    """A configuration: its files by their paths, the main one first, and what has to be known beside them."""

    files: Mapping[str, str]
    warnings: tuple[str, ...]


KINDS: Mapping[str, ProxyKind] = {
    "envoy": envoy.KIND,
    "nginx": nginx.KIND,
    "traefik": traefik.KIND,
    "caddy": caddy.KIND,
    "haproxy": haproxy.KIND,
}


def places_of(
    proxy: str,
    *,
    listen: Address | None = None,
    upstream: Address | None = None,
    internal: Address | None = None,
) -> Places:
    """Return where a proxy listens and sends requests: as its shipped file says where nothing is given."""
    places = KINDS[proxy].places
    return replace(
        places,
        listen=listen or places.listen,
        upstream=upstream or places.upstream,
        internal=internal or places.internal,
    )


def print_configuration(proxy: str, settings: Settings, places: Places) -> Printed:
    """Make the configuration with which a proxy asks an extauth that runs with these settings.

    Raises:
        ProxyConfigurationError: A setting can't be said to this proxy at all, or shipped files are missing.
    """
    kind = KINDS[proxy]
    facts = facts_of(settings)
    files = kind.printed(shipped_files(proxy), facts, places)
    warnings = (*facts.warnings, *kind.warnings(facts), *_of_kind(kind, facts))
    head = "".join(f"{line}\n" for line in _head(proxy, facts, places, warnings))
    main = {kind.file: head + without_head(files[kind.file])}
    return Printed(
        files={**main, **{name: text for name, text in files.items() if name not in main}}, warnings=warnings
    )


def _of_kind(kind: ProxyKind, facts: Facts) -> Iterator[str]:
    if facts.in_flight and not kind.tells_progress:
        yield (
            f"{kind.title} can't tell that a request still runs: one that takes longer than its lease "
            f"({plain(facts.shortest_lease)} for the shortest) counts as ended. Give routes with long "
            "requests a `timeout`"
        )


def _head(proxy: str, facts: Facts, places: Places, warnings: Iterable[str]) -> Iterator[str]:
    kind = KINDS[proxy]
    yield f"# {kind.title} in front of an API, asking extauth about every request."
    yield f"# Printed by `extauth proxy {proxy}` (extauth {extauth.__version__}), for the settings in force."
    inner = f"   {kind.internal} {places.internal}" if kind.internal else ""
    yield f"#   listens on {places.listen}   upstream {places.upstream}{inner}"
    yield f"#   extauth: check listener {facts.check}, completion listener {facts.completion}"
    yield f"# Start: {kind.start}"
    for warning in warnings:
        yield from textwrap.wrap(
            f"Note: {warning}.", _WIDTH, initial_indent="# ", subsequent_indent="#   ", break_long_words=False
        )
