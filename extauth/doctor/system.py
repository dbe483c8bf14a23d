"""Limits of the operating system: open files, and the room for datagrams."""

from __future__ import annotations

import resource
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from extauth.completion.datagrams import RECEIVE_BUFFER
from extauth.doctor.findings import Finding, Notes
from extauth.settings.model import ListenSettings

_LONGEST_QUEUE = Path("/proc/sys/net/core/rmem_max")
# What a process has open beside connections of proxies: of Redis, of the store, of the log, its libraries.
_BESIDE = 200


@dataclass(frozen=True, slots=True)
class SystemLimits:
    """How many files a process may have open, and how many bytes may wait in a socket; None: not told."""

    open_files: int
    receive_buffer: int | None


def system_limits() -> SystemLimits:
    """Return those of this process, which a server that is started from here has too."""
    open_files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        receive_buffer = int(_LONGEST_QUEUE.read_text(encoding="ascii"))
    except (OSError, ValueError):
        receive_buffer = None
    return SystemLimits(open_files, receive_buffer)


def system_findings(limits: SystemLimits, listen: ListenSettings) -> Sequence[Finding]:
    """Compare the limits with what the settings ask for."""
    notes = Notes("system")
    _open_files(notes, limits.open_files, listen.max_connections)
    _datagrams(notes, limits.receive_buffer)
    return notes.findings


def _open_files(notes: Notes, allowed: int, connections: int) -> None:
    # The listener for reports holds as many connections as the one for checks.
    wanted = 2 * connections + _BESIDE
    is_enough = allowed == resource.RLIM_INFINITY or allowed >= wanted
    said = f"A process started from here may open {allowed} files"
    mend = f"Set LimitNOFILE={wanted} in its unit (ulimit -n {wanted}), or lower listen.max_connections."
    if is_enough:
        notes.ok(
            f"A process started from here may open enough files for listen.max_connections ({connections})."
        )
    elif allowed < connections:
        notes.bad(f"{said}, and listen.max_connections is {connections}.", mend)
    else:
        notes.warn(f"{said}, and two listeners with {connections} connections each need {wanted}.", mend)


def _datagrams(notes: Notes, allowed: int | None) -> None:
    if allowed is None:
        notes.warn(
            "The system doesn't tell how many bytes of datagrams may wait.",
            f"Make sure that net.core.rmem_max is {RECEIVE_BUFFER} where the server runs.",
        )
    elif allowed < RECEIVE_BUFFER:
        notes.warn(
            f"{allowed} bytes of datagrams may wait (net.core.rmem_max), {RECEIVE_BUFFER} are wanted: "
            "reports of nginx, HAProxy and Caddy get lost when many come at once.",
            f"sysctl -w net.core.rmem_max={RECEIVE_BUFFER}, or give the server CAP_NET_ADMIN.",
        )
    else:
        notes.ok("Enough bytes of datagrams may wait.")
