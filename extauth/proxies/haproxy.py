"""HAProxy's configuration for the settings in force, and its Lua file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from extauth.proxies.facts import Facts
from extauth.proxies.kinds import ProxyKind
from extauth.proxies.places import SAMPLE_UPSTREAM, Places
from extauth.proxies.security import WORD, everywhere, https_only, said, unsaid
from extauth.proxies.shipped import replaced
from extauth.proxies.spelling import plain
from extauth.settings.headers import SECURITY_HEADERS
from extauth.settings.values import Address

FILE = "haproxy.cfg"
_LUA = "extauth.lua"
PLACES = Places(
    listen=Address("127.0.0.1", 8085), upstream=SAMPLE_UPSTREAM, internal=Address("127.0.0.1", 8086)
)


def printed(files: Mapping[str, str], facts: Facts, places: Places) -> dict[str, str]:
    """Return the files with what depends on settings replaced."""
    assert places.internal is not None
    changes = {
        f"bind {PLACES.listen}": f"bind {places.listen}",
        f"bind {PLACES.internal}": f"bind {places.internal}",
        f"server api {SAMPLE_UPSTREAM}": f"server api {_server(places.upstream)}",
        "server extauth 127.0.0.1:9000": f"server extauth {_server(facts.check)}",
        "log 127.0.0.1:9002 format": f"log {facts.datagrams.path or facts.datagrams} format",
        "timeout server 1s": f"timeout server {plain(facts.timeout)}",
        _lines(SECURITY_HEADERS): _lines(facts.security),
    }
    own = https_only(said(facts.security, _any))
    if own is not None:
        changes["set-header strict-transport-security max-age=31536000 "] = (
            f"set-header strict-transport-security {_quoted(own)} "
        )
    shipped = 'HOST, PORT = "127.0.0.1", 8086'
    lua = {shipped: f'HOST, PORT = "{places.internal.host}", {places.internal.port}'}
    return {
        FILE: replaced(files[FILE], changes, file=FILE),
        _LUA: replaced(files[_LUA], lua, file=_LUA),
    }


def warnings(facts: Facts) -> Iterator[str]:
    """Tell what the file can't say."""
    if facts.in_flight:
        yield (
            "where the upstream gives no answer on a client's kept connection HAProxy closes that and "
            "reports no end: the request's place among those in flight is free when its lease expires. With "
            "`option httpclose` in the frontend all ends are told"
        )
    yield from unsaid("HAProxy", facts.security, _any, but="line break")


def _server(address: Address) -> str:
    return f"unix@{address.path}" if address.is_unix else str(address)


def _lines(headers: Mapping[str, str]) -> str:
    return "".join(
        f"  http-after-response set-header {name.lower()} {_quoted(value)} "
        f"unless {{ res.hdr({name.lower()}) -m found }}\n"
        for name, value in said(everywhere(headers), _any).items()
    )


def _any(_value: str) -> bool:
    return True


def _quoted(value: str) -> str:
    """Write a text as an argument of HAProxy: `%` begins a part of a log format, `$` a variable."""
    if WORD.fullmatch(value):
        return value
    escaped = re.sub(r'(["\\\\$])', r"\\\1", value).replace("%", "%%")
    return f'"{escaped}"'


KIND = ProxyKind(
    title="HAProxy",
    file=FILE,
    places=PLACES,
    start="haproxy -db -f haproxy.cfg, in the folder of these files",
    printed=printed,
    warnings=warnings,
    internal="the way to extauth",
)
