"""Leases as the rest of the service sees them, whichever store they are in."""

from __future__ import annotations

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

    def end(self, request_id: str, lease: str = "") -> None:
        """End a lease, without one all of the request."""
        ...

    def renew(self, request_id: str, lease: str = "") -> None:
        """Have leases of a request that still runs last longer."""
        ...

    def let_go(self, claim: Claim, lease: str) -> None:
        """End a lease of which nobody learnt."""
        ...
