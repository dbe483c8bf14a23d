"""Leases of a shared store, and those that this server gave out on its own while that one was gone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from extauth.throttle.claims import Claim
from extauth.throttle.embedded import EmbeddedLeases
from extauth.throttle.leases import Leases


class EitherLeases:
    """Ends each lease where it is. See `throttle.leases.Leases`."""

    def __init__(self, shared: Leases, local: EmbeddedLeases) -> None:
        self._shared = shared
        self._local = local

    @property
    def waiting(self) -> int:
        """How many checks of this process wait for a slot: nobody waits for one of its own."""
        return self._shared.waiting

    def refuse_waiting(self) -> None:
        """Answer all checks that wait for a slot."""
        self._shared.refuse_waiting()

    @property
    def taken(self) -> int:
        """How many leases this process has given out, of either."""
        return self._shared.taken + self._local.taken

    def bear_with(self, is_late: Callable[[], bool]) -> None:
        """Have graces last longer while this is so; of its own slots nobody waits for any."""
        self._shared.bear_with(is_late)

    def end_all(self, ended: Sequence[tuple[str, str]]) -> None:
        """End leases. See `Leases`."""
        if len(self._local):
            ended = [one for one in ended if not self._has_ended_here(*one)]
        if ended:
            self._shared.end_all(ended)

    def _has_ended_here(self, request_id: str, lease: str) -> bool:
        known = self._local.end_known(request_id, lease)
        # A request may have leases in both; a lease is in one.
        return known and bool(lease)

    def renew(self, request_id: str, lease: str = "") -> None:
        """Have leases of a request that still runs last longer."""
        if len(self._local):
            self._local.renew(request_id, lease)
        self._shared.renew(request_id, lease)

    def let_go(self, claim: Claim, lease: str) -> None:
        """End a lease of which nobody learnt."""
        self._local.let_go(claim, lease)
        self._shared.let_go(claim, lease)
