"""nginx's configuration for the settings in force: one file, with what is included written out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from extauth.proxies.facts import Facts
from extauth.proxies.kinds import ProxyKind
from extauth.proxies.places import SAMPLE_UPSTREAM, Places
from extauth.proxies.security import WORD, everywhere, https_only, said, unsaid
from extauth.proxies.shipped import replaced, without_head
from extauth.proxies.spelling import plain
from extauth.settings.headers import SECURITY_HEADERS
from extauth.settings.values import Address

FILE = "nginx.conf"
PLACES = Places(listen=Address("127.0.0.1", 8081), upstream=SAMPLE_UPSTREAM)
_INCLUDE = re.compile(r"^(?P<indent> *)include (?P<file>extauth[a-z-]*\.conf);$", re.MULTILINE)
# The variables that the shipped file gives these names.
_VARIABLES = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "referrer",
    "content-security-policy": "content",
}


def printed(files: Mapping[str, str], facts: Facts, places: Places) -> dict[str, str]:
    """Return one file, with what depends on settings replaced."""
    inner = {**files}
    for file, changes in _changes(facts, places).items():
        inner[file] = replaced(files[file], changes, file=file)
    return {FILE: _written_out(inner[FILE], inner)}


def warnings(facts: Facts) -> Iterator[str]:
    """Tell what the file can't say."""
    yield from unsaid("nginx", facts.security, _can_say, but="'$'")


def _changes(facts: Facts, places: Places) -> dict[str, dict[str, str]]:
    http = {
        "  server 127.0.0.1:9000;": f"  server {facts.check};",
        "  keepalive_timeout 60s;": f"  keepalive_timeout {plain(facts.idle)};",
        _maps(SECURITY_HEADERS): _maps(facts.security),
    }
    own = https_only(said(facts.security, _can_say))
    if own is not None:
        http['"https:" max-age=31536000;'] = f'"https:" {_quoted(own)};'
    wait = plain(facts.timeout)
    return {
        FILE: {
            f"listen {PLACES.listen};": f"listen {places.listen};",
            f"server {SAMPLE_UPSTREAM};": f"server {places.upstream};",
        },
        "extauth-http.conf": http,
        "extauth.conf": {
            "proxy_send_timeout 1s;": f"proxy_send_timeout {wait};",
            "proxy_read_timeout 1s;": f"proxy_read_timeout {wait};",
        },
        "extauth-signals.conf": {"server=127.0.0.1:9002,": f"server={facts.datagrams},"},
        "extauth-security.conf": {_lines(SECURITY_HEADERS): _lines(facts.security)},
    }


def _written_out(text: str, files: Mapping[str, str]) -> str:
    """Put each included file where it is included, at its indentation."""

    def body(include: re.Match[str]) -> str:
        indent = include["indent"]
        lines = _written_out(without_head(files[include["file"]]), files).rstrip("\n").splitlines()
        inner = "\n".join(f"{indent}{line}" if line else "" for line in lines)
        return f"{indent}# {include['file']}\n{inner}"

    return _INCLUDE.sub(body, text)


def _maps(headers: Mapping[str, str]) -> str:
    return "".join(
        f"map $upstream_http_{name.lower().replace('-', '_')} ${_variable(name)} {{\n"
        f'  ""      {_quoted(value)};\n  default "";\n}}\n'
        for name, value in said(everywhere(headers), _can_say).items()
    )


def _lines(headers: Mapping[str, str]) -> str:
    return "".join(
        f"add_header {name:<25} {f'${_variable(name)}':<19} always;\n"
        for name, value in said(everywhere(headers), _can_say).items()
    )


def _variable(name: str) -> str:
    known = _VARIABLES.get(name.lower())
    return f"extauth_{known or 'header_' + name.lower().replace('-', '_')}"


def _can_say(value: str) -> bool:
    return "$" not in value


def _quoted(value: str) -> str:
    if WORD.fullmatch(value):
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


KIND = ProxyKind(
    title="nginx",
    file=FILE,
    places=PLACES,
    start='mkdir -p /tmp/extauth-nginx && nginx -p /tmp/extauth-nginx -c "$PWD/nginx.conf" -e stderr',
    printed=printed,
    warnings=warnings,
)
