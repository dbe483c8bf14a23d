"""What a look at a store finds out without changing anything: plain values, in which nothing is judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from extauth.settings.redis_url import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFacts:
    """One Redis that holds keys; None stands for what it does not tell.

    `latency_us` is the median of a few questions in microseconds, `ahead_us` how far its clock is ahead of
    this machine's. `durability` says what its crash loses, `appends` whether it keeps an append-only file.
    """

    where: str
    version: str
    latency_us: int
    ahead_us: int
    role: str | None
    replicas: int | None
    replicas_needed: int | None
    memory_limit: int | None
    eviction: str | None
    appends: bool | None
    durability: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SentinelFacts:
    """How many Sentinels the URL names, how many of them answer, and what they say against a failover."""

    named: int
    answering: int
    objection: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisFacts:
    """A Redis of whatever kind. `peppers` are how many living keys need which pepper, by its id.

    `cluster_state` is what a cluster calls its own state, empty where it is none or does not tell.
    """

    where: str
    kind: Kind
    servers: tuple[ServerFacts, ...]
    peppers: Mapping[str, int]
    cluster_state: str = ""
    sentinels: SentinelFacts | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFacts:
    """The files of an embedded store. `modes` are the permission bits of all that are there, by path.

    `peppers` is None where the file's schema is another version's. `holder` is the process that serves from
    it, 0 where that can't be told which, None where none does. `file_system` is the type of what it lies on,
    empty where nobody can tell.
    """

    path: Path
    is_there: bool
    modes: Mapping[Path, int]
    folder_mode: int
    free_bytes: int
    log_bytes: int = 0
    journal: str = ""
    peppers: Mapping[str, int] | None = None
    holder: int | None = None
    file_system: str = ""


StoreFacts = RedisFacts | FileFacts
