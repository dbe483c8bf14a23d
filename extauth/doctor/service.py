"""The running server: its parts, its workers, the configuration that it goes by, who may administer it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import orjson

from extauth import __version__
from extauth.doctor.asking import Page
from extauth.doctor.findings import Finding, Notes

_OK = "ok"
_WAITING = "waiting for a restart"
_UNAUTHENTICATED = 401


def service_findings(
    readiness: Page, without_key: Page, samples: Mapping[str, Mapping[str, float]]
) -> Sequence[Finding]:
    """Judge `/readyz`, the admin API's answer to a request without a key, and the metrics.

    Raises ValueError where the page is not extauth's.
    """
    notes = Notes("service")
    page = orjson.loads(readiness.body)
    parts = page["parts"]
    _parts(notes, parts)
    _workers(notes, page.get("workers", {}))
    _configuration(notes, parts["config"])
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
