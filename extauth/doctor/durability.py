"""What becomes of acknowledged changes in a crash."""

from __future__ import annotations

from collections.abc import Sequence

from extauth.doctor.findings import Finding, Notes
from extauth.stores.facts import FileFacts, RedisFacts

_IN_MEMORY = frozenset(("tmpfs", "ramfs"))
_OF_CONTAINERS = frozenset(("overlay", "aufs"))
_ON_OTHER_MACHINES = ("nfs", "cifs", "smb", "9p", "ceph", "glusterfs", "fuse.")


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


def file_durability_findings(facts: FileFacts) -> Sequence[Finding]:
    """Say what becomes of an embedded store where the machine, or what holds its file, goes."""
    notes, kind = Notes("durability"), facts.file_system
    where = f"{facts.path} lies on {kind}"
    if kind in _IN_MEMORY:
        notes.warn(f"{where}, which is memory: keys are gone with it.", "Set store.url to a file on a disk.")
    elif kind in _OF_CONTAINERS:
        notes.warn(f"{where}: keys are gone with the container.", "Set store.url to a file in a volume.")
    elif kind.startswith(_ON_OTHER_MACHINES):
        notes.warn(
            f"{where}: SQLite's log needs locks and shared memory that such file systems may lack.",
            "Set store.url to a file on a disk of this machine, or use a Redis.",
        )
    else:
        notes.ok(
            "A key change is acknowledged once it is on the disk: it survives a power cut."
            " Of what limits counted that may cost the last second."
        )
    return notes.findings
