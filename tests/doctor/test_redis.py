"""The doctor and a real Redis: store, durability and clock, each well and each not."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from extauth.doctor.clock import clock_findings
from extauth.doctor.findings import Level
from extauth.doctor.redis import redis_findings
from extauth.stores.facts import RedisFacts, SentinelFacts, ServerFacts
from tests.doctor.finding import PEPPER, level_of, looked_over, patient
from tests.fakes import FakeClock
from tests.integration.processes import wait_until
from tests.redis.sentinels import running_sentinels
from tests.redis.server import HOST, RedisServer, cluster_url, running, running_cluster
from tests.unit.test_docs import page

_KEEPING = ("--save", "", "--appendonly", "yes", "--maxmemory", "64mb", "--maxmemory-policy", "noeviction")
_FACTS = ServerFacts(
    where="Redis here",
    version="7.2.0",
    latency_us=400,
    ahead_us=0,
    role="master",
    replicas=None,
    replicas_needed=None,
    memory_limit=1,
    eviction="noeviction",
    appends=True,
    durability="It keeps all.",
)


@pytest.fixture
def keeping(tmp_path: Path) -> Iterator[RedisServer]:
    """Give a Redis as it should be."""
    with running(RedisServer(tmp_path / "redis", _KEEPING)) as server:
        yield server


def facts(**changed: object) -> RedisFacts:
    """Return what a Redis could tell."""
    server = replace(_FACTS, **changed)  # type: ignore[arg-type]  # fields of ServerFacts
    return RedisFacts(where="Redis", kind="server", servers=(server,), peppers={})


def test_a_redis_as_it_should_be_is_well(keeping: RedisServer) -> None:
    """Store, durability and clock have nothing to mend."""
    findings = looked_over(patient(keeping.url))
    of_redis = [one for one in findings if one.examination in {"store", "durability", "clock"}]
    assert {one.examination for one in of_redis} == {"store", "durability", "clock"}
    assert [one for one in of_redis if one.level is not Level.OK] == []


def test_a_redis_that_forgets_is_bad(tmp_path: Path) -> None:
    """It keeps no file, throws entries away, and has no bound: each is said by itself."""
    arguments = ("--save", "", "--appendonly", "no", "--maxmemory-policy", "allkeys-lru")
    with running(RedisServer(tmp_path / "redis", arguments)) as server:
        findings = looked_over(patient(server.url))
        assert level_of(findings, "store", "allkeys-lru") is Level.BAD
        assert level_of(findings, "durability", "no append-only file") is Level.BAD
        server.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")
        assert level_of(looked_over(patient(server.url)), "store", "no maxmemory") is Level.WARN


def test_a_redis_that_tells_nothing_is_doubtful(tmp_path: Path) -> None:
    """Managed services forbid looking: somebody else has to know."""
    forbidding = "user default on nopass ~* &* +@all -config -info\n"
    with running(RedisServer(tmp_path / "redis", _KEEPING, configuration=forbidding)) as server:
        findings = looked_over(patient(server.url))
    assert level_of(findings, "store", "doesn't tell") is Level.WARN
    assert level_of(findings, "durability", "does not tell") is Level.WARN


def test_the_rights_that_the_manual_names_are_enough(tmp_path: Path) -> None:
    """For a user who may nothing else."""
    (rights,) = re.findall(r"the commands `([^`]+)`", page("redis"))
    user = f"user default off\nuser extauth on >hunter2 ~extauth:* &extauth:calls:* -@all {rights}\n"
    with running(RedisServer(tmp_path / "redis", _KEEPING, configuration=user)) as server:
        findings = looked_over(patient(server.url.replace("://", "://extauth:hunter2@")))
    of_redis = [one for one in findings if one.examination in {"store", "durability", "clock"}]
    assert {one.examination for one in of_redis} == {"store", "durability", "clock"}
    assert [one for one in of_redis if one.level is not Level.OK] == []


def test_a_redis_that_is_gone_is_bad_and_its_password_is_not_told(keeping: RedisServer) -> None:
    """The store is, and whether the peppers fit can't be known."""
    keeping.child.stop()
    findings = looked_over(patient(keeping.url.replace("://", "://reader:hunter2@")))
    assert level_of(findings, "store", f"{HOST}:{keeping.port}") is Level.BAD
    assert level_of(findings, "pepper", "doesn't tell") is Level.WARN
    assert "hunter2" not in repr(findings)


def test_a_redis_that_hangs_keeps_nobody(keeping: RedisServer) -> None:
    """It has its deadline, and all else is told as ever."""
    keeping.child.pause()
    began = time.monotonic()
    findings = looked_over(patient(keeping.url), within_seconds=1.0)
    # Generous: without the deadline the paused Redis would never answer.
    assert time.monotonic() - began < 10
    assert level_of(findings, "store", "no answer within") is Level.BAD
    assert {"pepper", "service", "system", "security"} <= {one.examination for one in findings}


def test_the_clock_is_compared_with_that_of_redis(keeping: RedisServer) -> None:
    """An hour is bad; this machine's own time agrees with itself."""
    assert level_of(looked_over(patient(keeping.url)), "clock", "agree") is Level.OK
    late = FakeClock(datetime.now(UTC) - timedelta(hours=1))
    assert level_of(looked_over(patient(keeping.url), late), "clock", "ahead of") is Level.BAD


@pytest.mark.parametrize(
    ("ahead_us", "level"),
    [(0, Level.OK), (-900_000, Level.OK), (2_000_000, Level.WARN), (-31_000_000, Level.BAD)],
)
def test_how_far_clocks_may_be_apart(ahead_us: int, level: Level) -> None:
    """A second shows in headers, half a minute in decisions."""
    (finding,) = clock_findings(facts(ahead_us=ahead_us))
    assert finding.level is level


@pytest.mark.parametrize(
    ("latency_us", "level"), [(400, Level.OK), (30_000, Level.WARN), (50_000, Level.BAD)]
)
def test_latency_is_compared_with_the_deadline(latency_us: int, level: Level) -> None:
    """A Redis that answers as late as checks give up is of no use."""
    assert (
        level_of(redis_findings(facts(latency_us=latency_us), timedelta(milliseconds=50)), "store", "answers")
        is level
    )


@pytest.mark.parametrize(
    ("changed", "words", "level"),
    [
        ({"role": "slave"}, "is a replica", Level.BAD),
        ({"replicas": 1, "replicas_needed": 2}, "1 of the 2", Level.BAD),
        ({"replicas": 1, "replicas_needed": 0}, "lost all of its replicas", Level.WARN),
        ({"replicas": 2, "replicas_needed": 1}, "Replicas of", Level.OK),
    ],
)
def test_replicas(changed: dict[str, object], words: str, level: Level) -> None:
    """Too few stop changes; none that are needed lets a failover lose some."""
    assert level_of(redis_findings(facts(**changed), timedelta(seconds=1)), "store", words) is level


def test_a_replica_takes_no_changes(keeping: RedisServer) -> None:
    """A real one says so of itself."""
    keeping.ask("REPLICAOF", HOST, 1)
    assert level_of(looked_over(patient(keeping.url)), "store", "is a replica") is Level.BAD


def test_sentinels_that_do_not_answer_are_told(tmp_path: Path) -> None:
    """Of the three in the URL one is not there; a master without its replica could not be replaced."""
    with running_sentinels(tmp_path) as (_master, replica, url):
        findings = looked_over(patient(url))
        assert level_of(findings, "store", "2 of the 3 Sentinels") is Level.WARN
        replica.child.stop()
        wait_until(
            lambda: (
                level_of(looked_over(patient(url)), "store", "no replica") is Level.WARN
                if "no replica" in repr(looked_over(patient(url)))
                else False
            ),
            within=20,
            what="the master to miss its replica",
        )


def test_sentinels_that_object_are_bad() -> None:
    """Nothing would fail over."""
    sentinels = SentinelFacts(named=3, answering=3, objection="NOQUORUM 1 usable Sentinels")
    findings = redis_findings(replace(facts(), sentinels=sentinels), timedelta(seconds=1))
    assert level_of(findings, "store", "NOQUORUM") is Level.BAD
    well = replace(facts(), sentinels=replace(sentinels, objection=""))
    assert level_of(redis_findings(well, timedelta(seconds=1)), "store", "could fail over") is Level.OK


def test_a_cluster_that_lost_a_server_is_bad(tmp_path: Path) -> None:
    """A whole one is not, though none of its servers has a replica."""
    with running_cluster(tmp_path) as servers:
        whole = looked_over(patient(cluster_url(servers)))
        assert level_of(whole, "store", "calls its state ok, with 3 primaries") is Level.OK
        assert sum("has no replica" in one.said for one in whole) == 3
        servers[2].child.stop()
        wait_until(
            lambda: "cluster_state:fail" in servers[0].ask("CLUSTER", "INFO"),
            within=20,
            what="a failed cluster",
        )
        # In a process of its own: what the client of a broken cluster leaves behind ends with it.
        variables = {
            "EXTAUTH_STORE__URL": cluster_url(servers),
            "EXTAUTH_KEYS__PEPPERS": json.dumps([PEPPER]),
        }
        command = [sys.executable, "-m", "extauth", "doctor", "--json"]
        done = subprocess.run(
            command, env={**os.environ, **variables}, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 1, done.stderr
        findings = [one for one in json.loads(done.stdout)["findings"] if one["examination"] == "store"]
        assert [one["level"] for one in findings] == ["bad"]
