"""Looks through shipped configurations in which one thing was changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from extauth.proxies.checking.findings import Finding
from extauth.proxies.checking.looking import look_through
from extauth.proxies.facts import facts_of
from extauth.proxies.shipped import shipped_files
from extauth.settings.model import Settings

# With this all that can be found is looked for, and the shipped configurations are fine.
IN_FLIGHT = {"tiers": {"default": {"concurrency": {"max": 4, "queue": 8, "wait": "500ms"}}}}


class Change(NamedTuple):
    """What is changed in a shipped file, and the code of the one finding that this makes."""

    code: str
    old: str
    new: str
    file: str = ""
    settings: dict[str, Any] = {}  # noqa: RUF012 - nobody changes it


def written(proxy: str, folder: Path, change: Change | None = None) -> Path:
    """Write a proxy's shipped files, changed in one place, and return the main one."""
    files = shipped_files(proxy)
    main = {"envoy": "envoy.yaml", "nginx": "nginx.conf"}[proxy]
    if change is not None:
        file = change.file or main
        assert change.old in files[file], "the shipped file doesn't hold what is to be changed"
        files[file] = files[file].replace(change.old, change.new, 1)
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder / main


def found(proxy: str, path: Path, settings: dict[str, Any] | None = None) -> list[Finding]:
    """Look through a configuration."""
    return look_through(proxy, path, facts_of(Settings.model_validate({**IN_FLIGHT, **(settings or {})})))
