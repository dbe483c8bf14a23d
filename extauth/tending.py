"""What one process does for all that share its store, in the background."""

from __future__ import annotations

from contextlib import AsyncExitStack

from extauth.clock import Clock
from extauth.keys.audit import AuditTrimming
from extauth.keys.searching import complete_search
from extauth.server.process import spawn
from extauth.settings.model import Settings
from extauth.stores.base import KeyStore


def tend(
    stack: AsyncExitStack, settings: Settings, store: KeyStore, clock: Clock, *, alone: bool
) -> AuditTrimming:
    """Keep the audit log within its retention, and complete what a search looks through, if this is the one.

    Of several processes on one store only one may be `alone`. Returns what trims, for a reload to change it.
    """
    trimming = AuditTrimming(store, clock, settings.audit.retention)
    if alone:
        spawn(stack, trimming.run())
        spawn(stack, complete_search(store))
    return trimming
