"""Opens what counts requests in flight, in the store where rates are counted."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import NamedTuple

from extauth.clock import Clock
from extauth.stores.limits import Queue, SharedLimitStore
from extauth.stores.memory import MemoryLimitStore
from extauth.tasks import end
from extauth.throttle.counts import LeaseCounts
from extauth.throttle.either import EitherLeases
from extauth.throttle.embedded import EmbeddedLeases
from extauth.throttle.leases import Leases


class InFlight(NamedTuple):
    """The leases, where checks wait for slots of this process, and what counts without a shared store."""

    leases: Leases
    queue: Queue | None
    without_store: MemoryLimitStore


def open_leases(
    stack: AsyncExitStack,
    limits: MemoryLimitStore,
    shared: SharedLimitStore | None,
    *,
    clock: Clock,
    counts: LeaseCounts,
) -> InFlight:
    """Open the leases of `shared`, else those of `limits`, until the stack is left."""
    without_store = MemoryLimitStore()
    local = EmbeddedLeases(limits if shared is None else without_store, clock, counts)
    sweeping = asyncio.create_task(local.run())

    stack.push_async_callback(end, sweeping)
    if shared is None:
        return InFlight(local, local, without_store)
    return InFlight(EitherLeases(shared.leases, local), None, without_store)
