"""What becomes of the reports that requests ended: leases are freed, and what the upstream did is counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from extauth.completion.signals import Signal
from extauth.throttle.leases import Leases
from extauth.usage.word import MARK

# Whose request it was, as in `usage.word`, the status that the upstream answered, and after how long.
OnUpstream = Callable[[str, int, int], None]


class Releases:
    """Takes the signals of proxies (a `SignalSink`)."""

    def __init__(self, leases: Leases, on_upstream: OnUpstream | None = None) -> None:
        self._end_all = leases.end_all
        self._renew = leases.renew
        self._on_upstream = on_upstream

    def take(self, signals: Sequence[Signal]) -> None:
        """Free the leases of requests that ended, and renew those of requests that still run."""
        ended: list[tuple[str, str]] = []
        for request_id, told, progress, status, duration_us in signals:
            # Behind the mark stands whose request it was.
            lease, _, whose = told.partition(MARK)
            if progress:
                self._renew(request_id, lease)
                continue
            ended.append((request_id, lease))
            if whose and status and self._on_upstream is not None:
                self._on_upstream(whose, status, duration_us)
        if ended:
            self._end_all(ended)
