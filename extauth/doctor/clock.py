"""Whether the clocks of this machine and of Redis agree."""

from __future__ import annotations

from collections.abc import Sequence

from extauth.clock import MICROSECONDS
from extauth.doctor.findings import Finding, Notes
from extauth.stores.facts import RedisFacts

# What is told in whole seconds is wrong from here on, and what is decided by the clock.
_ODD_SECONDS = 1.0
_WRONG_SECONDS = 30.0


def clock_findings(facts: RedisFacts) -> Sequence[Finding]:
    """Compare this machine's clock with those of the servers, by which limits go."""
    notes = Notes("clock")
    for server in facts.servers:
        seconds = server.ahead_us / MICROSECONDS
        side = "ahead of" if seconds > 0 else "behind"
        said = f"The clock of {server.where} is {abs(seconds):.1f} s {side} ours."
        if abs(seconds) >= _WRONG_SECONDS:
            notes.bad(said, "Set both by NTP: keys, bans and sessions end at the wrong time.")
        elif abs(seconds) >= _ODD_SECONDS:
            notes.warn(said, "Set both by NTP: what clients are told of limits is off by that.")
        else:
            notes.ok(f"The clock of {server.where} and ours agree.")
    return notes.findings
