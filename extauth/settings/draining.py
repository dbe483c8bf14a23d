"""The section about the end of a server: how long it takes for whom."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from extauth.settings.base import Section
from extauth.settings.values import Duration


class DrainSettings(Section):
    """What happens between SIGTERM and the end."""

    delay: Duration | None = Field(
        default=None,
        description=(
            "How long the server goes on as before while `/readyz` is 503 already: the time that a load "
            "balancer needs to notice. None unless set."
        ),
    )
    linger: Duration = Field(
        default=timedelta(seconds=1),
        description=(
            "How long idle connections are kept after the last check on any of them. Each check is answered, "
            "and told that its connection ends; on one that is closed without a word it would be lost."
        ),
    )
    timeout: Duration = Field(
        default=timedelta(seconds=5),
        description=(
            "How long all of it may take after the delay, also for checks that wait for a slot. Those are "
            "refused then; a second later what is left is cut off."
        ),
    )
