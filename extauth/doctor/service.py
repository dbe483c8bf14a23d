"""The running server: its parts, its workers, the configuration that it goes by, who may administer it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeGuard

import orjson

from extauth import __version__
from extauth.doctor.asking import Page
from extauth.doctor.findings import Finding, Notes

_OK = "ok"
_WAITING = "waiting for a restart"
_UNAUTHENTICATED = 401


@dataclass(frozen=True, slots=True)
class Readiness:
    """What `/readyz` says: each part, and each worker where there are several, with `ok` or its problem."""

    parts: Mapping[str, str]
    workers: Mapping[str, str]


def read_readiness(page: Page) -> Readiness | str:
    """Read the answer of `/readyz`, or say in what it is not extauth's."""
    try:
        fields = orjson.loads(page.body)
    except orjson.JSONDecodeError:
        return "no JSON"
    if not isinstance(fields, dict):
        return "JSON, but no object"
    parts, workers = fields.get("parts"), fields.get("workers", {})
    if not (_are_texts(parts) and "config" in parts):
        return "an object without the parts of extauth"
    return Readiness(parts, workers) if _are_texts(workers) else "an object with workers of another shape"


def _are_texts(fields: object) -> TypeGuard[dict[str, str]]:
    return isinstance(fields, dict) and all(isinstance(value, str) for value in fields.values())


def service_findings(
    readiness: Page, without_key: Page, samples: Mapping[str, Mapping[str, float]]
) -> Sequence[Finding]:
    """Judge `/readyz`, the admin API's answer to a request without a key, and the metrics."""
    notes = Notes("service")
    read = read_readiness(readiness)
    if isinstance(read, str):
        notes.bad(
            f"What listen.admin answers for /readyz is not extauth's: {readiness.status} with {read}.",
            "See what listens there; where a proxy stands in front of it, let it pass /readyz as it is.",
        )
    else:
        _parts(notes, read.parts)
        _workers(notes, read.workers)
        _configuration(notes, read.parts["config"])
    _version(notes, samples.get("extauth_build_info", {}))
    if without_key.status != _UNAUTHENTICATED:
        notes.bad(
            f"The admin API answered {without_key.status} to a request without a key instead of 401.",
            "Find out what answers at listen.admin: extauth refuses whoever shows no key.",
        )
    else:
        notes.ok("Its admin API refuses whoever shows no key.")
    return notes.findings


def _parts(notes: Notes, parts: Mapping[str, str]) -> None:
    failed = {name: problem for name, problem in parts.items() if name != "config" and problem != _OK}
    for name, problem in failed.items():
        notes.bad(f"Its part {name} doesn't work: {problem}.", "See docs/runbooks/store-down.md.")
    if not failed:
        notes.ok("All parts of the running server work.")


def _workers(notes: Notes, workers: Mapping[str, str]) -> None:
    failed = {number: problem for number, problem in workers.items() if problem != _OK}
    for number, problem in failed.items():
        notes.bad(f"Its worker {number} doesn't answer: {problem}.", "See its log.")
    if workers and not failed:
        notes.ok(f"All {len(workers)} workers answer.")


def _configuration(notes: Notes, problem: str) -> None:
    if problem == _OK:
        notes.ok("It goes by the configuration as it was last loaded.")
    elif problem.startswith(_WAITING):
        notes.warn(f"It is {problem}.", "Restart it, and these fields are in force.")
    else:
        notes.bad(
            f"Its configuration is not that of its file: {problem}.", "Mend the file; it is read again."
        )


def _version(notes: Notes, versions: Mapping[str, float]) -> None:
    for version in versions:
        if version != __version__:
            notes.warn(
                f"It is extauth {version}, and this is {__version__}.",
                "Restart it, or call the command of its own version.",
            )
