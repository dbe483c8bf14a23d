"""Budgets of failed authentications: who spends one is banned, and for twice as long each time.

They count as the cool-down of limits does, for each subject by itself, in this process.
"""

from __future__ import annotations

import heapq
from typing import NamedTuple

from extauth.bounded import BoundedCache
from extauth.clock import MICROSECONDS
from extauth.limits import cool_down
from extauth.limits.algorithm import BucketState
from extauth.model import Limit
from extauth.stores.bans import Ban, Offender

# How many subjects are sure to be remembered, those that failed last.
_REMEMBERED = 5_000
# Whoever has not failed for so long is no offender any more, in microseconds.
_FORGIVEN_AFTER_US = 3_600 * MICROSECONDS


class Budget(NamedTuple):
    """So many `failures` within `window_us` begin a ban of `ban_us`, the next ones up to `longest_us`."""

    failures: int
    window_us: int
    ban_us: int
    longest_us: int


class _Record:
    """What is known of a subject that has failed."""

    __slots__ = ("failures", "last_us", "reasons", "state")

    def __init__(self) -> None:
        self.state: BucketState | None = None
        self.failures = 0
        self.last_us = 0
        self.reasons: dict[str, int] = {}


class FailureBudgets:
    """Counts failures by subject, each against the same budget."""

    def __init__(self, budget: Budget) -> None:
        self._records: BoundedCache[str, _Record] = BoundedCache(_REMEMBERED)
        self.go_by(budget)

    def go_by(self, budget: Budget) -> None:
        """Count against this budget from now on; what was counted stays."""
        self._budget = budget
        failures, window_us, ban_us, longest_us = budget
        limit = Limit(
            "failures", failures, failures, window_us, "cool_down", pause_us=ban_us, longest_us=longest_us
        )
        self._numbers = cool_down.prepare(limit, 1)

    def fail(self, subject: str, reason: str, now_us: int) -> int:
        """Count a failure for one of a few reasons; return when the ban ends that begins with it, or 0."""
        record = self._records.get(subject) or self._record_of(subject)
        if now_us - record.last_us > _FORGIVEN_AFTER_US:
            record.failures = 0
            record.reasons.clear()
        record.failures += 1
        record.reasons[reason] = record.reasons.get(reason, 0) + 1
        record.last_us = now_us
        before = record.state
        record.state = after = cool_down.violate(before, self._numbers, now_us)
        until_us = after[2]
        if until_us <= now_us or (before is not None and before[2] > now_us):
            return 0
        return until_us

    def learn(self, ban: Ban) -> None:
        """Take a ban into account that another process began, or that is from before a restart."""
        self._record_of(ban.subject).state = cool_down.resumed(self._numbers, ban.began_us, ban.ends_us)

    def forget(self, subject: str) -> None:
        """Let a subject begin anew."""
        self._records.forget(subject)

    def worst(self, most: int, now_us: int) -> list[Offender]:
        """Return who has failed most often, of those that have failed lately."""
        recent = (
            (record.failures, subject, record)
            for subject, record in self._records.everything()
            if record.failures and now_us - record.last_us <= _FORGIVEN_AFTER_US
        )
        # No two have one subject, so records are never compared.
        worst = heapq.nlargest(most, recent)
        return [
            Offender(subject, failures, record.last_us, dict(record.reasons))
            for failures, subject, record in worst
        ]

    def _record_of(self, subject: str) -> _Record:
        record = self._records.get(subject) or self._records.revive(subject)
        if record is None:
            record = _Record()
            self._records.keep(subject, record)
        return record
