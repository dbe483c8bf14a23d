"""Looks for one thing among findings."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from extauth.clock import Clock, SystemClock
from extauth.doctor.diagnosis import diagnose
from extauth.doctor.findings import Finding, Level
from extauth.settings.model import Settings

PEPPER = "a pepper that all servers of these tests share"


def level_of(findings: Iterable[Finding], examination: str, words: str) -> Level:
    """Return how bad the only finding of an examination is that says these words."""
    found = [one for one in findings if one.examination == examination and words in one.said]
    assert len(found) == 1, [*findings]
    # Whoever reads it is told what to do, unless there is nothing to do.
    assert bool(found[0].mend) == (found[0].level is not Level.OK)
    return found[0].level


def patient(url: str, **sections: Any) -> Settings:
    """Return settings that wait for a Redis longer than a slow machine takes."""
    return Settings.model_validate(
        {
            "store": {"url": url, "timeout": "5s"},
            "failure": {"deadline": "10s"},
            "keys": {"peppers": [PEPPER]},
            **sections,
        }
    )


def looked_over(settings: Settings, clock: Clock | None = None, **options: Any) -> list[Finding]:
    """Return all findings."""
    return asyncio.run(diagnose(settings, None, clock or SystemClock(), **options))
