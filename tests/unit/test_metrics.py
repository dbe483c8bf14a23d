"""The metrics page: readable for Prometheus, true, and of bounded size."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from extauth import __version__
from extauth.model import OUTCOMES, Code, Decision
from extauth.server.connections import ConnectionLimits, Connections
from extauth.telemetry.collector import collector_for
from extauth.telemetry.metrics import DURATION_BOUNDS_US, CheckCounts, MetricsCollector
from extauth.telemetry.recorder import Recorder
from tests.checking import request_for
from tests.fakes import FakeClock
from tests.logs import ListedLines
from tests.world import open_world


def families(collector: MetricsCollector) -> list[Metric]:
    """Return what Prometheus reads from the page."""
    registry = CollectorRegistry()
    registry.register(collector)
    page = generate_latest(registry).decode()
    parsed = list(text_string_to_metric_families(page))
    # Each sample stands under its own name and labels once.
    samples = [
        (sample.name, *sorted(sample.labels.items())) for family in parsed for sample in family.samples
    ]
    assert len(samples) == len(set(samples))
    return parsed


def values(metric: Metric, *labels: str) -> Iterator[tuple[tuple[str, ...], float]]:
    """Return the values of these labels, and the value, of each sample."""
    for sample in metric.samples:
        assert sample.labels.keys() == set(labels)
        yield tuple(sample.labels[label] for label in labels), sample.value


def after(*decisions: tuple[str, Code, int]) -> dict[str, Metric]:
    """Return the families after decisions of a dialect, with a code, that took so many microseconds."""
    counts, clock = CheckCounts(["envoy", "nginx"]), FakeClock()
    recorder = Recorder(counts=counts, lines=ListedLines(), clock=clock)
    for dialect, code, took_us in decisions:
        request = request_for()._replace(dialect=dialect)
        recorder.record(request, Decision(code), clock.now_us() - took_us)
    recorder.flush()
    return {family.name: family for family in families(MetricsCollector(counts, (), ()))}


def test_checks_are_counted_by_dialect_outcome_and_code() -> None:
    """Every combination is there from the start, so that a first refusal is a change from nought."""
    made = after(("envoy", Code.ALLOWED, 0), ("envoy", Code.ALLOWED, 0), ("nginx", Code.INVALID_KEY, 0))
    checks = dict(values(made["extauth_checks"], "dialect", "outcome", "code"))
    assert len(checks) == 2 * len(Code)
    assert checks["envoy", "allowed", "allowed"] == 2
    assert checks["nginx", "unauthenticated", "invalid_key"] == 1
    assert sum(checks.values()) == 3
    assert {(outcome, code) for _, outcome, code in checks} == {
        (OUTCOMES[code].value, code.value) for code in Code
    }


def test_durations_are_a_cumulative_histogram_in_seconds() -> None:
    """Each bucket holds all that took at most its bound; the last one holds all."""
    took_us = [0, 10, 11, 400, 1_000_000, 1_000_001, 9_000_000]
    durations = after(*(("envoy", Code.ALLOWED, each) for each in took_us))["extauth_check_duration_seconds"]
    buckets = {
        float(sample.labels["le"]): sample.value
        for sample in durations.samples
        if sample.name.endswith("_bucket") and sample.labels["dialect"] == "envoy"
    }
    assert list(buckets) == [bound / 1_000_000 for bound in DURATION_BOUNDS_US] + [float("inf")]
    for bound, count in buckets.items():
        assert count == sum(each <= bound * 1_000_000 for each in took_us), bound
    totals = {
        sample.name: sample.value for sample in durations.samples if sample.labels == {"dialect": "envoy"}
    }
    assert totals["extauth_check_duration_seconds_count"] == len(took_us)
    assert totals["extauth_check_duration_seconds_sum"] == sum(took_us) / 1_000_000


def test_which_extauth_this_is() -> None:
    """Dashboards show the version."""
    assert dict(values(after()["extauth_build_info"], "version")) == {(__version__,): 1}


def in_world(folder: Path) -> list[Metric]:
    """Return all families of a running app after a few requests."""

    async def run() -> list[Metric]:
        async with open_world(folder) as world:
            issued = await world.create_key()
            for path in ("/a", "/b", f"/{issued.text}"):
                await world.ask(path, key=issued.text)
            await world.ask("/a//b")
            await world.ask("/", key=issued.text[:-1])
            world.app.recorder.flush()
            connections = Connections(ConnectionLimits(), now=0)
            return families(collector_for(world.app, connections, world.lines))

    return asyncio.run(run())


def samples_of(found: list[Metric]) -> dict[str, float]:
    """Return all samples by name and labels."""
    return {
        f"{sample.name}{sorted(sample.labels.items())}": sample.value
        for family in found
        for sample in family.samples
    }


def test_families_have_names_of_their_own(tmp_path: Path) -> None:
    """A gauge and a counter that differ in `_total` alone are one family to OpenMetrics: forbidden."""
    names = [family.name for family in in_world(tmp_path)]
    assert sorted(names) == sorted(set(names))


def test_what_a_running_app_counts(tmp_path: Path) -> None:
    """Readings of all parts, with the values that these requests lead to."""
    samples = samples_of(in_world(tmp_path))
    assert samples["extauth_ready[]"] == 1
    assert samples["extauth_argon2_verifications_total[]"] == 1
    assert samples["extauth_argon2_refusals_total[]"] == 0
    assert samples["extauth_limit_buckets[]"] == 1
    assert samples["extauth_log_lines_dropped_total[]"] == 0
    assert samples["extauth_connections_total[]"] == 0
    assert samples["extauth_faults_total[('listener', 'check')]"] == 0


def test_checks_that_wait_and_those_refused_for_them(tmp_path: Path) -> None:
    """How many wait at the moment; and each that was refused for them is counted, by its code too."""

    async def scenario() -> None:
        async with open_world(tmp_path, throttle={"max_checks": 1}) as world:
            connections = Connections(ConnectionLimits(), now=0)
            collector = collector_for(world.app, connections, world.lines)
            keys = [(await world.create_key()).text for _ in range(2)]
            released = world.hold_records()
            waiting = asyncio.create_task(world.ask(key=keys[0]))
            await asyncio.sleep(0)
            assert (await world.ask(key=keys[1])).code == "overloaded"
            world.app.recorder.flush()
            samples = samples_of(families(collector))
            assert samples["extauth_waiting_checks[]"] == 1
            assert samples["extauth_throttle_refusals_total[]"] == 1
            labels = [("code", "overloaded"), ("dialect", "envoy"), ("outcome", "unavailable")]
            assert samples[f"extauth_checks_total{labels}"] == 1
            released.set()
            assert (await waiting).status == 200
            samples = samples_of(families(collector))
            assert samples["extauth_waiting_checks[]"] == 0
            assert samples["extauth_throttle_refusals_total[]"] == 1

    asyncio.run(scenario())


def test_labels_are_bounded(tmp_path: Path) -> None:
    """No key, user, path, host, address or request id ever becomes a label: only what is known in advance."""
    names = " ".join(name for name in samples_of(in_world(tmp_path)) if "_bucket" not in name)
    assert "user-1" not in names
    assert "/a" not in names
    assert "xa_" not in names
    assert "192.0.2.7" not in names
    assert "r-1" not in names
    assert "api.example.com" not in names
