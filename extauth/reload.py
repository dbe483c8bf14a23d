"""What of the settings may change while a server runs, and how it changes: all at once, between two checks.

What a restart is needed for stays as it was, and is named. All else is made anew of the new settings, on the
parts that outlive them: stores, caches of verified secrets, counts. A check that was begun before goes on
under the old settings to its end.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, TypeVar

from extauth.app import App
from extauth.configured import Configured
from extauth.settings.base import Section
from extauth.settings.model import Settings
from extauth.telemetry.logs import set_level

# What is opened or sized once: sockets, stores, threads, caches, peppers, and how new keys look.
NEEDS_RESTART = frozenset(
    {
        "listen",
        "store",
        "workers",
        "keys.prefix",
        "keys.secret_length",
        "keys.peppers",
        "keys.peppers_file",
        "keys.imported",
        "keys.accept_untagged",
        "keys.hashing",
        "keys.cache",
        "failure.deadline",
        "throttle.sources",
        "throttle.token",
        "throttle.token_file",
        "log.file",
        "usage",
        "tracing",
    }
)
# All else. A field that is in neither is a mistake that a test finds.
TAKEN_OVER = frozenset(
    {
        "routes",
        "default_route",
        "tiers",
        "limits",
        "failure.authentication",
        "failure.limits",
        "failure.honour",
        "failure.share",
        "throttle.max_checks",
        "abuse",
        "proxy",
        "credentials",
        "headers",
        "dashboard",
        "docs",
        "docs_url",
        "keys.environments",
        "keys.default_environment",
        "keys.default_tier",
        "keys.default_lifetime",
        "keys.longest_lifetime",
        "keys.default_grace",
        "keys.longest_grace",
        "keys.per_user",
        "audit",
        "log.level",
        "log.allowed_sample",
    }
)
AnySection = TypeVar("AnySection", bound=Section)


class Change(NamedTuple):
    """What becomes of new settings: those that can be in force without a restart, and which fields differ.

    Fields are named as in the documentation, never with a value. `waiting` are those that need a restart.
    """

    settings: Settings
    taken_over: tuple[str, ...]
    waiting: tuple[str, ...]


def change_to(new: Settings, *, from_old: Settings) -> Change:
    """Compare new settings with those in force."""
    fields = tuple(_differing(from_old, new))
    return Change(
        settings=_mixed(from_old, new),
        taken_over=tuple(field for field in fields if not needs_restart(field)),
        waiting=tuple(field for field in fields if needs_restart(field)),
    )


def needs_restart(field: str) -> bool:
    """Tell whether a field, or the section that it stands in, can't change while the server runs."""
    return any(field == name or field.startswith(f"{name}.") for name in NEEDS_RESTART)


def _differing(old: Section, new: Section, prefix: str = "") -> Iterator[str]:
    for name in type(old).model_fields:
        before, after = getattr(old, name), getattr(new, name)
        if before == after:
            continue
        if isinstance(before, Section) and isinstance(after, Section):
            yield from _differing(before, after, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def _mixed(old: AnySection, new: AnySection, prefix: str = "") -> AnySection:
    """Return the new settings with the old ones in all places that need a restart."""
    kept: dict[str, Any] = {}
    for name in type(old).model_fields:
        before, after = getattr(old, name), getattr(new, name)
        if needs_restart(f"{prefix}{name}"):
            kept[name] = before
        elif isinstance(before, Section) and isinstance(after, Section):
            kept[name] = _mixed(before, after, f"{prefix}{name}.")
    return new.model_copy(update=kept)


def put_in_force(app: App, configured: Configured) -> None:
    """Let all that begins from now on go by these settings: in one turn, so that none is mixed."""
    settings = configured.settings
    app.responder.go_by(configured.checker, configured.dialects, max_checks=settings.throttle.max_checks)
    app.records.compile_with(configured.compile, configured.recompile)
    app.keys.judge_by(configured.key_rules)
    app.admin.go_by(gate=configured.gate, services=configured.services)
    app.dashboard.go_by(settings, configured.services)
    app.docs.go_by(configured.docs)
    app.trimming.retention = settings.audit.retention
    app.parts.abuse.go_by(settings.abuse.to_rules())
    # What was decided under the old settings is logged as they said.
    app.recorder.flush()
    app.recorder.log_from(settings.log.level, allowed_sample=settings.log.allowed_sample)
    set_level(settings.log.level)
    app.settings = settings
