"""Caddy's configuration for the settings in force."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from extauth.proxies.facts import Facts
from extauth.proxies.kinds import ProxyKind
from extauth.proxies.places import SAMPLE_UPSTREAM, Places
from extauth.proxies.security import WORD, everywhere, https_only, said, unsaid
from extauth.proxies.shipped import replaced
from extauth.proxies.spelling import plain
from extauth.settings.headers import SECURITY_HEADERS
from extauth.settings.values import Address

FILE = "Caddyfile"
PLACES = Places(listen=Address("127.0.0.1", 8084), upstream=SAMPLE_UPSTREAM)


def printed(files: Mapping[str, str], facts: Facts, places: Places) -> dict[str, str]:
    """Return the file with what depends on settings replaced."""
    changes = {
        "default_bind 127.0.0.1\n": f"default_bind {places.listen.host}\n",
        f"http://:{PLACES.listen.port} {{": f"http://:{places.listen.port} {{",
        "reverse_proxy 127.0.0.1:9000 {": f"reverse_proxy {_address(facts.check)} {{",
        f"reverse_proxy {SAMPLE_UPSTREAM} {{": f"reverse_proxy {_address(places.upstream)} {{",
        "output net udp/127.0.0.1:9002": f"output net {_datagrams(facts.datagrams)}",
        "response_header_timeout 1s": f"response_header_timeout {plain(facts.timeout)}",
        "keepalive 60s": f"keepalive {plain(facts.idle)}",
        _lines(SECURITY_HEADERS): _lines(facts.security),
    }
    own = https_only(said(facts.security, _can_say))
    if own is not None:
        changes["?Strict-Transport-Security max-age=31536000"] = f"?Strict-Transport-Security {_quoted(own)}"
    return {FILE: replaced(files[FILE], changes, file=FILE)}


def warnings(facts: Facts) -> Iterator[str]:
    """Tell what has to be known beside the file."""
    if facts.datagrams.is_unix:
        yield f"Caddy starts only where {facts.datagrams.path} is there already: start extauth first"
    yield from unsaid("Caddy", facts.security, _can_say, but="'{', '}' or backslash")


def _address(address: Address) -> str:
    return f"unix/{address.path}" if address.is_unix else str(address)


def _datagrams(address: Address) -> str:
    return f"unixgram/{address.path}" if address.is_unix else f"udp/{address}"


def _lines(headers: Mapping[str, str]) -> str:
    return "".join(
        f"\theader ?{name} {_quoted(value)}\n" for name, value in said(everywhere(headers), _can_say).items()
    )


def _can_say(value: str) -> bool:
    # Braces are placeholders of Caddy, which a backslash hides in some places and not in others.
    return not set(value) & set("{}\\")


def _quoted(value: str) -> str:
    if WORD.fullmatch(value):
        return value
    escaped = value.replace('"', '\\"')
    return f'"{escaped}"'


KIND = ProxyKind(
    title="Caddy",
    file=FILE,
    places=PLACES,
    start="caddy run --config Caddyfile --adapter caddyfile",
    printed=printed,
    warnings=warnings,
)
