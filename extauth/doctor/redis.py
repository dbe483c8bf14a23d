"""The store, where it is a Redis: quick enough, whole, and sure to keep what it was given."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from extauth.doctor.findings import Finding, Notes
from extauth.stores.facts import RedisFacts, SentinelFacts, ServerFacts

_MILLISECOND_US = 1_000
_KEEPS_ALL = "noeviction"


def redis_findings(facts: RedisFacts, deadline: timedelta) -> Sequence[Finding]:
    """Judge what a Redis tells of itself. `deadline` is how long a check waits for it."""
    notes = Notes("store")
    for server in facts.servers:
        _latency(notes, server, deadline)
        _role(notes, server, facts)
        _memory(notes, server)
    if facts.cluster_state:
        _cluster(notes, facts)
    if facts.sentinels is not None:
        _sentinels(notes, facts.sentinels)
    return notes.findings


def _latency(notes: Notes, server: ServerFacts, deadline: timedelta) -> None:
    deadline_us = deadline / timedelta(microseconds=1)
    took = f"{server.latency_us / _MILLISECOND_US:.1f} ms"
    said = f"{server.where} (version {server.version or 'unknown'}) answers in {took}"
    allowed = f"checks wait {deadline_us / _MILLISECOND_US:g} ms for it"
    if server.latency_us >= deadline_us:
        notes.bad(f"{said}; {allowed}.", "Put Redis nearer, or raise failure.deadline.")
    elif server.latency_us >= deadline_us / 2:
        notes.warn(f"{said}; {allowed}.", "Put Redis nearer, or raise failure.deadline.")
    else:
        notes.ok(f"{said}; {allowed}.")


def _role(notes: Notes, server: ServerFacts, facts: RedisFacts) -> None:
    if server.role == "slave":
        notes.bad(f"{server.where} is a replica, which takes no changes.", "Name its primary in store.url.")
        return
    replicas, needed = server.replicas, server.replicas_needed
    if replicas is not None and needed and replicas < needed:
        notes.bad(
            f"{server.where} has {replicas} of the {needed} replicas without which it takes no changes.",
            "Start the replicas, or lower min-replicas-to-write.",
        )
    elif replicas == 0 and facts.kind != "server":
        notes.warn(
            f"{server.where} has no replica that could take its place.", "Start one, or none may fail."
        )
    elif replicas and needed == 0:
        notes.warn(
            f"{server.where} takes changes also while it has lost all of its replicas.",
            "Set min-replicas-to-write to 1, or a failover loses what it took then.",
        )
    elif replicas:
        notes.ok(f"Replicas of {server.where}: {replicas}.")


def _memory(notes: Notes, server: ServerFacts) -> None:
    if server.eviction is None:
        notes.warn(
            f"{server.where} doesn't tell what it does when its memory is full.",
            "Make sure that its maxmemory-policy is noeviction.",
        )
    elif server.eviction != _KEEPS_ALL:
        notes.bad(
            f"{server.where} throws keys and bans away when its memory is full: its maxmemory-policy is "
            f"{server.eviction}.",
            "Set maxmemory-policy to noeviction.",
        )
    elif not server.memory_limit:
        notes.warn(
            f"{server.where} has no maxmemory: when its machine is out of memory, the system kills it.",
            "Set maxmemory below what the machine has.",
        )
    else:
        notes.ok(f"{server.where} refuses changes when {server.memory_limit} bytes are full, and keeps all.")


def _cluster(notes: Notes, facts: RedisFacts) -> None:
    said = f"{facts.where} calls its state {facts.cluster_state}, with {len(facts.servers)} primaries."
    if facts.cluster_state == "ok":
        notes.ok(said)
    else:
        notes.bad(said, "See `redis-cli cluster info`: a server is gone, or slots have none.")


def _sentinels(notes: Notes, sentinels: SentinelFacts) -> None:
    said = f"{sentinels.answering} of the {sentinels.named} Sentinels in store.url answer"
    if sentinels.objection:
        notes.bad(f"{said}: {sentinels.objection}.", "Start what is missing, or nothing fails over.")
    elif sentinels.answering < sentinels.named:
        notes.warn(f"{said}.", "Start the others, or take them out of store.url.")
    else:
        notes.ok(f"{said}, and they could fail over.")
