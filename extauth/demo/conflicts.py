"""Looks whether the demo's ports are free before anything starts; if not, says what to change."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Collection, Iterable

from extauth.demo.errors import DemoError
from extauth.demo.listeners import Listener, listener_on
from extauth.demo.ports import Ports, make_variable, option

_HOST = "127.0.0.1"
_SUGGESTED_DISTANCE = 10_000
_PURPOSES = {
    "envoy": "Envoy, where clients connect",
    "envoy_admin": "Envoy's admin page",
    "nginx": "nginx, where clients connect",
    "upstream": "the sample upstream",
    "check": "extauth, where the proxies ask",
    "admin": "extauth's metrics and health",
    "completion": "extauth, where the proxies report ends of requests",
}


def require_free(ports: Ports, *, needed: Collection[str]) -> None:
    """Make sure that every needed port can be listened on, by the names of their fields.

    Raises:
        DemoError: It names each port that can't, what for, who has it as far as this user may know, and what
            to type.
    """
    chosen = {name: port for name, port in ports.by_name().items() if name in needed}
    problems = conflicts(chosen, refusal=_refusal, holder=listener_on)
    if not problems:
        return
    defaults = Ports().by_name()
    typed = chosen | _suggestions(problems, taken=chosen.values())
    wanted = {name: port for name, port in typed.items() if port != defaults[name]}
    variables = " ".join(f"{make_variable(name)}={port}" for name, port in wanted.items())
    options = " ".join(f"{option(name)} {port}" for name, port in wanted.items())
    advice = f"Stop what is there, or take other ports:\n  make demo {variables}\n  extauth demo {options}"
    raise DemoError("\n".join([*problems.values(), advice]))


def conflicts(
    chosen: dict[str, int],
    *,
    refusal: Callable[[int], int | None],
    holder: Callable[[int], Listener | None],
) -> dict[str, str]:
    """Return a sentence for each port that can't be used, by its name.

    `refusal` gives the error number of an attempt to listen, None where it works; `holder` who listens there.
    """
    problems: dict[str, str] = {}
    first_use: dict[int, str] = {}
    for name, port in chosen.items():
        purpose = _PURPOSES[name]
        if port in first_use:
            problems[name] = f"port {port} can't be both {option(first_use[port])} and {option(name)}."
            continue
        first_use[port] = name
        number = refusal(port)
        if number == errno.EADDRINUSE:
            who = _who(port, holder)
            problems[name] = f"port {port} is taken, by {who}. The demo needs it for {purpose}."
        elif number is not None:
            problems[name] = f"port {port}, for {purpose}, can't be used: {os.strerror(number)}."
    return problems


def _who(port: int, holder: Callable[[int], Listener | None]) -> str:
    found = holder(port)
    if found is None:
        return f"a process of another user (sudo ss -ltnp 'sport = {port}' names it)"
    return f"{found.name} (process {found.pid})"


def _refusal(port: int) -> int | None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As the demo's servers do, so that connections of an earlier run that are still closing don't matter.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError as error:
            return error.errno
    return None


def _suggestions(names: Iterable[str], *, taken: Collection[int]) -> dict[str, int]:
    """Return a free port for each name, no two alike: ten thousand above the usual one where that is free."""
    defaults = Ports().by_name()
    avoided = set(taken)
    moved: dict[str, int] = {}
    for name in names:
        port = defaults[name] + _SUGGESTED_DISTANCE
        while port in avoided or _refusal(port) is not None:
            port += 1
        avoided.add(port)
        moved[name] = port
    return moved
