"""What becomes of acknowledged changes in a crash."""

from __future__ import annotations

from collections.abc import Sequence

from extauth.doctor.findings import Finding, Notes
from extauth.stores.facts import RedisFacts


def durability_findings(facts: RedisFacts) -> Sequence[Finding]:
    """Say what a crash of each server loses."""
    notes = Notes("durability")
    for server in facts.servers:
        said = f"{server.where}: {server.durability}"
        if server.appends:
            notes.ok(said)
        elif server.appends is None:
            notes.warn(said, "Make sure that it has appendonly yes.")
        else:
            notes.bad(said, "Set appendonly yes, in its file and with CONFIG SET.")
    return notes.findings
