"""What the dashboard asks of the accounting of usage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

from extauth.keys.views import plain

Step = Literal["1m", "1h", "1d"]


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageAsked:
    """Whose usage is asked for, since when and until before when, told apart by what, and of how many."""

    since: datetime
    until: datetime
    step: Step | None = None
    by: Literal["none", "key"] = "none"
    key_id: str | None = None
    user_id: str | None = None
    limit: int = 20


class UsageReports(Protocol):
    """Tells what was used. All may raise StoreError."""

    async def report(self, asked: UsageAsked) -> Mapping[str, Any]:
        """Return what `GET /admin/v1/usage` answers. Raises InvalidInputError."""
        ...

    async def refusals(self, key_id: str) -> Sequence[Mapping[str, Any]]:
        """Return the latest refusals of a key, the newest first, as the admin API shows them."""
        ...


class NoUsage:
    """Tells of nothing, where nothing is accounted for. See `UsageReports`."""

    async def report(self, asked: UsageAsked) -> Mapping[str, Any]:
        """Return an empty report."""
        return {
            "from": plain(asked.since),
            "to": plain(asked.until),
            "step": asked.step or "1m",
            "by": asked.by,
            "series": [],
        }

    async def refusals(self, key_id: str) -> Sequence[Mapping[str, Any]]:  # noqa: ARG002 - of the protocol
        """Return none."""
        return []
