"""The section about how much one process takes on at a time."""

from __future__ import annotations

from pydantic import Field

from extauth.settings.base import Section, Whole


class ThrottleSettings(Section):
    """How much one process takes on at a time. Beyond that it refuses at once, instead of being slow."""

    max_checks: Whole = Field(
        default=1_000,
        ge=1,
        description=(
            "How many checks may wait in one worker for the store or for argon2. One more that would have to "
            "is answered 503 `overloaded` at once; those that need not wait are answered as ever. The "
            "default is what a fast process answers within `failure.deadline`: 20,000 checks a second, for "
            "50 ms."
        ),
    )
