"""The configurations that are shipped as files, and how what depends on settings is replaced in them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import extauth
from extauth.errors import ExtauthError

# Where each lies in a checkout. In an installed package they are below `proxies/files`.
_FOLDERS = {
    "envoy": "envoy",
    "nginx": "nginx",
    "traefik": "deploy/traefik",
    "caddy": "deploy/caddy",
    "haproxy": "deploy/haproxy",
}
_GUIDE = "README.md"


class ProxyConfigurationError(ExtauthError):
    """A configuration can't be made: a shipped file is missing or another one, or it can't say a setting."""


def folder_of(proxy: str, *, package: Path) -> Path:
    """Return the folder with the files that users copy: inside an installed package, beside it in a checkout.

    Raises:
        ProxyConfigurationError: Neither is there.
    """
    candidates = (package / "proxies" / "files" / proxy, package.parent / _FOLDERS[proxy])
    for folder in candidates:
        if (folder / _GUIDE).is_file():
            return folder
    raise ProxyConfigurationError(
        f"the configuration of {proxy} is neither in {candidates[0]} nor in {candidates[1]}"
    )


def shipped_files(proxy: str) -> dict[str, str]:
    """Return the texts of a proxy's files by their paths in its folder, the guide left out.

    Raises:
        ProxyConfigurationError: They are not there.
    """
    folder = folder_of(proxy, package=Path(extauth.__file__).parent)
    return {
        file.relative_to(folder).as_posix(): file.read_text(encoding="utf-8")
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name != _GUIDE
    }


def replaced(text: str, changes: Mapping[str, str], *, file: str, times: int = 1) -> str:
    """Return a shipped text with each passage replaced; each must stand in it exactly so many times.

    All are replaced in one go, so that what comes in is not replaced again.

    Raises:
        ProxyConfigurationError: A passage is not there, or too often: the file is another one than this
            version of extauth knows, and its settings would be told by half.
    """
    for old in changes:
        if text.count(old) != times:
            raise ProxyConfigurationError(
                f"{file} is not the file that this version of extauth ships: {old.strip().splitlines()[0]!r} "
                f"stands {text.count(old)} times in it, not {times}"
            )
    if not changes:
        return text
    passages = "|".join(re.escape(old) for old in sorted(changes, key=len, reverse=True))
    return re.sub(passages, lambda found: changes[found[0]], text)


def without_head(text: str) -> str:
    """Return a text without the comment that it begins with."""
    lines = text.splitlines(keepends=True)
    first = next((number for number, line in enumerate(lines) if not line.startswith("#")), len(lines))
    return "".join(lines[first:]).lstrip("\n")
