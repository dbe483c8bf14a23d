"""Envoy's configuration for the settings in force."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from extauth.proxies.facts import Facts
from extauth.proxies.kinds import ProxyKind
from extauth.proxies.places import SAMPLE_UPSTREAM, Places
from extauth.proxies.security import everywhere, https_only
from extauth.proxies.shipped import replaced
from extauth.proxies.spelling import in_seconds, is_name, yaml_text
from extauth.settings.environment import variable
from extauth.settings.headers import SECURITY_HEADERS
from extauth.settings.values import Address

FILE = "envoy.yaml"
PLACES = Places(
    listen=Address("127.0.0.1", 8080), upstream=SAMPLE_UPSTREAM, internal=Address("127.0.0.1", 9901)
)
# The setting's own variable: one name for one secret.
TOKEN_VARIABLE = variable(("throttle", "token"))


def printed(files: Mapping[str, str], facts: Facts, places: Places) -> dict[str, str]:
    """Return the file with what depends on settings replaced."""
    text = replaced(files[FILE], {**_addresses(facts, places), **_check(facts), **_reports(facts)}, file=FILE)
    text = replaced(
        text, {"idle_timeout: 60s": f"idle_timeout: {in_seconds(facts.idle)}"}, file=FILE, times=2
    )
    return {FILE: replaced(text, dict(_security(facts.security)), file=FILE)}


def warnings(facts: Facts) -> Iterator[str]:
    """Tell what has to be known beside the file."""
    if facts.token_source:
        yield told_by_environment("Envoy", facts)


def told_by_environment(title: str, facts: Facts) -> str:
    """Say how a proxy gets the token, which is written into no file."""
    return (
        f"the token of the completion listener is not written here: start {title} with {TOKEN_VARIABLE} in "
        f"its environment, holding {facts.token_source}"
    )


def _addresses(facts: Facts, places: Places) -> dict[str, str]:
    assert places.internal is not None
    changes = {
        _address(PLACES.listen): _address(places.listen),
        _address(Address("127.0.0.1", 9901)): _address(places.internal),
    }
    clusters = {
        "extauth": (Address("127.0.0.1", 9000), facts.check),
        "extauth_completion": (Address("127.0.0.1", 9002), facts.completion),
        "upstream": (SAMPLE_UPSTREAM, places.upstream),
    }
    for name, (shipped, address) in clusters.items():
        changes[_address(shipped)] = _address(address)
        if is_name(address):
            changes[f"- name: {name}\n    type: STATIC"] = f"- name: {name}\n    type: STRICT_DNS"
    return changes


def _address(address: Address) -> str:
    if address.is_unix:
        return f"{{ pipe: {{ path: {yaml_text(address.path)} }} }}"
    host = yaml_text(address.host) if ":" in address.host else address.host
    return f"{{ socket_address: {{ address: {host}, port_value: {address.port} }} }}"


def _check(facts: Facts) -> dict[str, str]:
    shipped = 'uri: "http://extauth.internal", cluster: extauth, timeout: '
    return {f"{shipped}1s ": f"{shipped}{in_seconds(facts.timeout)} "}


def _reports(facts: Facts) -> dict[str, str]:
    interval = "access_log_flush_interval: "
    changes = {f"{interval}15s": f"{interval}{in_seconds(facts.between_reports)}"}
    if facts.token_source:
        last = "cluster: extauth_completion, timeout: 10s }"
        indent = 16 * " "
        changes[last] = (
            f"{last}\n{indent}request_headers_to_add:\n{indent}- {{ header: {{ key: authorization, "
            f'value: "Bearer %ENVIRONMENT({TOKEN_VARIABLE})%" }} }}'
        )
    return changes


def _security(headers: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    yield _appended(SECURITY_HEADERS), _appended(headers)
    yield _allowed(SECURITY_HEADERS), _allowed(headers)
    own = https_only(headers)
    if own is not None:
        shipped = "? 'max-age=31536000' :"
        yield shipped, f"? {_cel(own)} :"


def _appended(headers: Mapping[str, str]) -> str:
    indent = 16 * " "
    return "".join(
        f"{indent}- append:\n"
        f"{indent}    header: {{ key: {yaml_text(name.lower())}, value: {yaml_text(_literal(value))} }}\n"
        f"{indent}    append_action: ADD_IF_ABSENT\n"
        for name, value in everywhere(headers).items()
    )


def _allowed(headers: Mapping[str, str]) -> str:
    return "".join(f"{20 * ' '}- {{ exact: {yaml_text(name.lower())} }}\n" for name in everywhere(headers))


def _literal(value: str) -> str:
    """Write a value in which Envoy finds none of its operators."""
    return value.replace("%", "%%")


def _cel(value: str) -> str:
    """Write a text of CEL within an operator of Envoy, which ends at the first `%`."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'").replace("%", "\\x25")
    return f"'{escaped}'"


KIND = ProxyKind(
    title="Envoy",
    file=FILE,
    places=PLACES,
    start="envoy -c envoy.yaml",
    printed=printed,
    warnings=warnings,
    internal="admin page",
    tells_progress=True,
)
