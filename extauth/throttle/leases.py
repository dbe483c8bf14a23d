"""Leases as the rest of the service sees them, whichever store they are in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from extauth.throttle.claims import Claim


class Leases(Protocol):
    """Ends leases. Nothing here waits or raises: a lease that can't be ended ends by itself."""

    @property
    def waiting(self) -> int:
        """How many checks of this process wait for a slot."""
        ...

    @property
    def taken(self) -> int:
        """How many leases this process has given out."""
        ...

    def refuse_waiting(self) -> None:
        """Answer all checks of this process that wait for a slot: with one that is free now, or with none."""
        ...

    def end_all(self, ended: Sequence[tuple[str, str]]) -> None:
        """End the lease of each of these requests, which are named with it; with an empty one all it has."""
        ...

    def renew(self, request_id: str, lease: str = "") -> None:
        """Have leases of a request that still runs last longer."""
        ...

    def bear_with(self, is_late: Callable[[], bool]) -> None:
        """Have checks wait longer for their client's own report while that may be late."""
        ...

    def let_go(self, claim: Claim, lease: str) -> None:
        """End a lease of which nobody learnt."""
        ...
