"""What tests of signals ask with, and how they see what was reported."""

from __future__ import annotations

import socket
import struct
from functools import partial

from extauth.completion.signals import Signal
from tests.integration.client import Connection, request
from tests.integration.conftest import Proxy
from tests.integration.processes import wait_until

from .conftest import PATIENCE, Stage
from .stand_in import Check

_RST = struct.pack("ii", 1, 0)


def key(mode: str = "") -> list[tuple[str, str]]:
    """Return the header of a client who gets an answer of that mode."""
    return [("X-API-Key", f"somebody/{mode}" if mode else "somebody")]


def checks_of(stage: Stage, count: int = 1) -> list[Check]:
    """Wait for so many checks, and return them."""
    wait_until(lambda: len(stage.authority.checks) >= count, within=PATIENCE, what="the check")
    return stage.authority.checks


def ends_of(stage: Stage, proxy: Proxy) -> list[Signal]:
    """Return what was reported until now.

    Signals come in order, so that whatever was sent before that of another request is here once that one is.
    """
    for _ in range(2):
        before = len(stage.intake.ends())
        last = len(stage.authority.checks)
        assert request(proxy.port, "/quick", headers=[("X-API-Key", "another")]).status == 200
        (mark,) = stage.authority.checks[last:]
        wait_until(
            partial(_has_come, stage, mark, since=before), within=PATIENCE, what="the signal of the mark"
        )
    others = {check.lease for check in stage.authority.checks if check.key == "another"}
    return [end for end in stage.intake.ends() if end.lease not in others]


def _has_come(stage: Stage, check: Check, *, since: int) -> bool:
    return end_of(check) in stage.intake.ends()[since:]


def end_of(check: Check) -> Signal:
    """Return the signal of the end of a request with that check."""
    return Signal(check.request_id, check.lease, progress=False)


def unknown_end_of(check: Check) -> Signal:
    """Return the signal of a request whose lease the proxy never learned."""
    return Signal(check.request_id, "", progress=False)


def leave(connection: Connection, *, by_reset: bool) -> None:
    """Close the connection of a client, or reset it."""
    if by_reset:
        connection._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST)
    else:
        connection._socket.shutdown(socket.SHUT_RDWR)
    connection._file.close()
    connection._socket.close()
