"""What there is to know about one kind of proxy, to print its configuration."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from extauth.proxies.facts import Facts
from extauth.proxies.places import Places


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyKind:
    """One kind of proxy: what it is called, its main file, where it listens by default, how it is started.

    `printed` makes the files of the shipped ones, `warnings` tells what has to be known beside them.
    `internal` says what it listens for besides clients; empty where it doesn't. `tells_progress` says that it
    reports requests that still run.
    """

    title: str
    file: str
    places: Places
    start: str
    printed: Callable[[Mapping[str, str], Facts, Places], dict[str, str]]
    warnings: Callable[[Facts], Iterable[str]]
    internal: str = ""
    tells_progress: bool = False
