"""All examinations of one installation."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from extauth.clock import Clock
from extauth.doctor.asking import ask
from extauth.doctor.clock import clock_findings
from extauth.doctor.durability import durability_findings, file_durability_findings
from extauth.doctor.embedded import file_findings
from extauth.doctor.findings import Examination, Finding, Notes, examine
from extauth.doctor.peppers import pepper_findings
from extauth.doctor.redis import redis_findings
from extauth.doctor.secrets import secret_findings
from extauth.doctor.security import security_findings
from extauth.doctor.service import service_findings
from extauth.doctor.signals import signal_findings
from extauth.doctor.system import system_findings, system_limits
from extauth.errors import StoreError
from extauth.management import look_at_store
from extauth.settings.model import Settings
from extauth.stores.facts import FileFacts, StoreFacts
from extauth.tasks import end, in_thread

# How long an examination may take, and what it asks.
WITHIN_SECONDS = 8.0
_ANSWER_WITHIN_SECONDS = 6.0
_API = "/admin/v1/keys"


async def diagnose(
    settings: Settings, file: Path | None, clock: Clock, *, within_seconds: float = WITHIN_SECONDS
) -> list[Finding]:
    """Look an installation over: what the settings say, and a server that runs by them. It changes nothing.

    `file` is the configuration that the settings came from.
    """
    look = asyncio.create_task(_look(settings, clock, within_seconds * 3 / 4))
    limits = system_limits()
    examinations: Mapping[str, Examination] = {
        "store": lambda: _store(settings, look),
        "pepper": lambda: _peppers(settings, look),
        "secrets": lambda: in_thread(lambda: secret_findings(settings)),
        "service": lambda: _service(settings),
        "system": lambda: in_thread(lambda: system_findings(limits, settings.listen)),
        "security": lambda: in_thread(lambda: security_findings(settings, file)),
    }
    try:
        return await examine(examinations, within_seconds=within_seconds)
    finally:
        await end(look)


async def _look(settings: Settings, clock: Clock, within_seconds: float) -> StoreFacts | StoreError:
    """Look once for all who ask. What failed is told to each of them."""
    try:
        async with asyncio.timeout(within_seconds):
            return await look_at_store(settings.store, clock=clock)
    except TimeoutError:
        return StoreError(f"the store gives no answer within {within_seconds:g} s")
    except StoreError as error:
        return error


async def _store(settings: Settings, look: asyncio.Task[StoreFacts | StoreError]) -> Sequence[Finding]:
    facts = await asyncio.shield(look)
    if isinstance(facts, StoreError):
        notes = Notes("store")
        notes.bad(f"{facts}.", "See docs/runbooks/store-down.md.")
        return notes.findings
    if isinstance(facts, FileFacts):
        return [*file_findings(facts), *file_durability_findings(facts)]
    return [
        *redis_findings(facts, settings.failure.deadline),
        *durability_findings(facts),
        *clock_findings(facts),
    ]


async def _peppers(settings: Settings, look: asyncio.Task[StoreFacts | StoreError]) -> Sequence[Finding]:
    facts = await asyncio.shield(look)
    needed = None if isinstance(facts, StoreError) else facts.peppers
    return await in_thread(lambda: pepper_findings(settings, needed))


async def _service(settings: Settings) -> Sequence[Finding]:
    """Ask a running server, which may be none."""
    notes, address = Notes("service"), settings.listen.admin
    try:
        readiness, page, without_key = await asyncio.gather(
            *(
                ask(address, path, within_seconds=_ANSWER_WITHIN_SECONDS)
                for path in ("/readyz", "/metrics", _API)
            )
        )
    except (ConnectionRefusedError, FileNotFoundError):
        notes.warn(f"No server answers at {address}.", "Start it, or look where it runs.")
        return notes.findings
    except OSError as error:
        notes.bad(
            f"What answers at {address} is no extauth that works ({type(error).__name__}).",
            "See what listens there, and what its log says.",
        )
        return notes.findings
    try:
        samples = _samples(page.body.decode())
        signals = signal_findings(samples)
    except (ValueError, KeyError):
        notes.bad(
            f"What listen.admin answers for /metrics is not extauth's: {page.status} without its metrics.",
            "See what listens there, and which version of extauth it is.",
        )
        samples, signals = {}, notes.findings
    return [*service_findings(readiness, without_key, samples), *signals]


def _samples(page: str) -> Mapping[str, Mapping[str, float]]:
    """Return the values of a page of metrics: by name, then by the values of the labels."""
    found: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            found.setdefault(sample.name, {})[",".join(sample.labels.values())] = sample.value
    return found
