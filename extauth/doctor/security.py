"""Who reaches the listeners, and who may read or change the files that hold secrets."""

from __future__ import annotations

import ipaddress
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from extauth.doctor.findings import Finding, Notes
from extauth.settings.document import read_document
from extauth.settings.model import Settings
from extauth.settings.networks import LOOPBACK
from extauth.settings.redis_url import hide_password
from extauth.settings.shape import is_secret
from extauth.settings.values import Address

# Secrets that an orchestrator mounts are often readable by a group of their own.
_FORBIDDEN = stat.S_IWGRP | stat.S_IRWXO
_REACHED = {
    "check": "whoever reaches it may try keys there without end, and learns what each may do",
    "admin": "whoever reaches it sees the metrics and tries keys, and keys cross the network in the clear",
    "completion": "whoever reaches it from throttle.sources may end leases of others",
}


def security_findings(settings: Settings, file: Path | None) -> Sequence[Finding]:
    """Judge the settings, and the files that they and the configuration `file` name."""
    notes = Notes("security")
    _listeners(notes, settings)
    _sources(notes, settings)
    readable = 0
    for path in _secret_files(settings, file):
        readable += _is_exposed(notes, path, _FORBIDDEN, "reads or changes secrets")
    if file is not None and not holds_secrets(file):
        readable += _is_exposed(notes, file, stat.S_IWOTH, "changes who may pass")
    if not readable:
        notes.ok("The configuration, and the files with secrets that it names, are not open to everybody.")
    return notes.findings


def _listeners(notes: Notes, settings: Settings) -> None:
    far = False
    for name, reached in _REACHED.items():
        address: Address = getattr(settings.listen, name)
        if not _is_near(address):
            far = True
            notes.warn(
                f"listen.{name} is {address}: {reached}.",
                "Listen on 127.0.0.1 or a unix socket, or let a firewall admit nobody but those who have to.",
            )
    if not far:
        notes.ok("All listeners are on this machine alone.")


def _is_near(address: Address) -> bool:
    if address.is_unix or address.host == "localhost":
        return True
    try:
        return ipaddress.ip_address(address.host).is_loopback
    except ValueError:
        return False


def _sources(notes: Notes, settings: Settings) -> None:
    throttle = settings.throttle
    far = [network for network in throttle.sources if not any(_within(network, near) for near in LOOPBACK)]
    everybody = [network for network in far if network.prefixlen == 0]
    has_token = throttle.token is not None or throttle.token_file is not None
    if everybody:
        notes.bad(
            f"throttle.sources admits everybody ({everybody[0]}): whoever sends a datagram ends leases.",
            "Name the networks of the proxies alone.",
        )
    elif far and not has_token:
        notes.warn(
            "Other machines may report ends without a token.",
            "Set throttle.token_file, and give it to the proxies.",
        )


def _within(network: object, near: object) -> bool:
    return (
        isinstance(network, ipaddress.IPv4Network)
        and isinstance(near, ipaddress.IPv4Network)
        and network.subnet_of(near)
    ) or (
        isinstance(network, ipaddress.IPv6Network)
        and isinstance(near, ipaddress.IPv6Network)
        and network.subnet_of(near)
    )


def _secret_files(settings: Settings, file: Path | None) -> Iterator[Path]:
    # That of the peppers is judged together with what is in it.
    store, throttle = settings.store, settings.throttle
    named = (store.password_file, store.sentinel_password_file, store.private_key_file, throttle.token_file)
    yield from (path for path in named if path is not None)
    if file is not None and holds_secrets(file):
        yield file


def holds_secrets(file: Path) -> bool:
    """Tell whether a configuration that was loaded holds a secret itself."""
    document = read_document(file.read_text(encoding="utf-8-sig"))
    store = document.fields.get("store")
    url = store.get("url") if isinstance(store, dict) else None
    has_password = isinstance(url, str) and url.startswith("redis") and hide_password(url, "") != url
    return has_password or any(is_secret(path) for path in document.lines)


def _is_exposed(notes: Notes, path: Path, forbidden: int, does: str) -> bool:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError:
        # That it is not there is told of among the secrets, by the field that names it.
        return False
    if mode & forbidden:
        notes.bad(f"{path} has the mode {mode:o}: somebody else {does}.", f"chmod go-w,o-rwx {path}")
    return bool(mode & forbidden)
