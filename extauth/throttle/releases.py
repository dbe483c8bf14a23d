"""What becomes of the reports that requests ended: leases are freed."""

from __future__ import annotations

from collections.abc import Sequence

from extauth.completion.signals import Signal
from extauth.throttle.leases import Leases


class Releases:
    """Takes the signals of proxies (a `SignalSink`)."""

    def __init__(self, leases: Leases) -> None:
        self._end = leases.end
        self._renew = leases.renew

    def take(self, signals: Sequence[Signal]) -> None:
        """Free the leases of requests that ended, and renew those of requests that still run."""
        for request_id, lease, progress in signals:
            if progress:
                self._renew(request_id, lease)
            else:
                self._end(request_id, lease)
