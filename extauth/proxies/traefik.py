"""Traefik's configuration for the settings in force: static, dynamic, and the plugin."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from extauth.proxies.envoy import TOKEN_VARIABLE, told_by_environment
from extauth.proxies.facts import Facts
from extauth.proxies.kinds import ProxyKind
from extauth.proxies.places import SAMPLE_UPSTREAM, Places
from extauth.proxies.security import everywhere, https_only, said, unsaid
from extauth.proxies.shipped import ProxyConfigurationError, replaced, without_head
from extauth.proxies.spelling import plain, yaml_text
from extauth.settings.headers import SECURITY_HEADERS
from extauth.settings.values import Address

FILE = "traefik.yml"
_DYNAMIC = "dynamic.yml"
# Instead of the shipped one, which names addresses.
_HEAD = "# What an API behind Traefik needs: the middleware on each of its routers.\n"
_PLUGIN = "plugins-local/src/extauth.example/extauth/extauth.go"
PLACES = Places(listen=Address("127.0.0.1", 8083), upstream=SAMPLE_UPSTREAM)


def printed(files: Mapping[str, str], facts: Facts, places: Places) -> dict[str, str]:
    """Return the files with what depends on settings replaced.

    Raises:
        ProxyConfigurationError: An address is a unix socket, which Traefik and its plugins can't reach.
    """
    for name, address in (("listen.check", facts.check), ("--upstream", places.upstream)):
        if address.is_unix:
            raise ProxyConfigurationError(f"{name} is a unix socket, which Traefik can't reach: use a port")
    static = {f'address: "{PLACES.listen}"': f'address: "{places.listen}"'}
    dynamic = {
        f'url: "http://{SAMPLE_UPSTREAM}"': f'url: "http://{places.upstream}"',
        'check: "http://127.0.0.1:9000/forward"': f'check: "http://{facts.check}/forward"',
        'done: "http://127.0.0.1:9002/done"': _reports(facts),
        "          timeout: 1s": f"          timeout: {plain(facts.timeout)}",
        _security(SECURITY_HEADERS): _security(said(facts.security, _can_say)),
    }
    idle = {"idleTimeout = 60 * time.Second": f"idleTimeout = {_go(facts)}"}
    return {
        FILE: replaced(files[FILE], static, file=FILE),
        _DYNAMIC: _HEAD + replaced(without_head(files[_DYNAMIC]), dynamic, file=_DYNAMIC),
        _PLUGIN: replaced(files[_PLUGIN], idle, file=_PLUGIN),
        **{name: text for name, text in files.items() if name not in {FILE, _DYNAMIC, _PLUGIN}},
    }


def warnings(facts: Facts) -> Iterator[str]:
    """Tell what the files can't say."""
    if facts.completion.is_unix:
        yield (
            "listen.completion is a unix socket, which Traefik can't reach: nothing tells extauth that "
            "requests ended, and each keeps its place among those in flight until its lease expires"
        )
    elif facts.token_source:
        yield told_by_environment("Traefik", facts)
    yield from unsaid("Traefik", facts.security, _can_say, but="'{{'")


def _reports(facts: Facts) -> str:
    if facts.completion.is_unix:
        return 'done: ""'
    done = f"done: {json.dumps(f'http://{facts.completion}/done')}"
    if not facts.token_source:
        return done
    # Traefik reads its dynamic configuration as a template first.
    return f"{done}\n          token: '{{{{ env \"{TOKEN_VARIABLE}\" }}}}'"


def _security(headers: Mapping[str, str]) -> str:
    # One of the operator's for HTTPS stands with the others: over plain HTTP browsers pass it by.
    own = headers if https_only(headers) is not None else everywhere(headers)
    lines = "".join(f"{10 * ' '}{yaml_text(name)}: {yaml_text(value)}\n" for name, value in own.items())
    # Traefik takes an empty mapping for a mistake, and then nothing of the file.
    begin = "        customResponseHeaders:\n" if lines else ""
    end = "        stsSeconds: 31536000\n" if https_only(headers) is None else ""
    return f"{begin}{lines}{end}"


def _can_say(value: str) -> bool:
    # Traefik reads its dynamic configuration as a template first.
    return "{{" not in value


def _go(facts: Facts) -> str:
    milliseconds = round(facts.idle.total_seconds() * 1000)
    return (
        f"{milliseconds // 1000} * time.Second"
        if not milliseconds % 1000
        else f"{milliseconds} * time.Millisecond"
    )


KIND = ProxyKind(
    title="Traefik",
    file=FILE,
    places=PLACES,
    start="traefik --configFile=traefik.yml, in the folder of these files",
    printed=printed,
    warnings=warnings,
)
