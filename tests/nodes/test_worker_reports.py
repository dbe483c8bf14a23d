"""What a supervisor makes of the reports of its workers, and how it treats them, without any process."""

from __future__ import annotations

import json
from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from extauth.server.board import ABSENT, Board
from extauth.server.reports import SummedCollector, Totals, report_of
from extauth.server.slot import LONGEST_DELAY_SECONDS, delay_after
from extauth.server.supervisor import share_of
from extauth.settings.load import load_settings
from extauth.settings.model import Settings


class Counted(Collector):
    """The page of one process."""

    def __init__(self, *, checks: int = 0, waiting: int = 0, ready: int = 1) -> None:
        self.numbers = (checks, waiting, ready)

    def collect(self) -> Iterator[Metric]:
        """Make the families."""
        checks, waiting, ready = self.numbers
        counter = CounterMetricFamily("checks_total", "Checks.", labels=["code", "dialect"])
        counter.add_metric(["allowed", "envoy"], checks)
        yield counter
        yield GaugeMetricFamily("waiting", "Waiting.", value=waiting)
        yield GaugeMetricFamily("extauth_ready", "Ready.", value=ready)
        histogram = HistogramMetricFamily("seconds", "Time.", labels=["dialect"])
        histogram.add_metric(["envoy"], [("0.1", checks / 2), ("+Inf", checks)], checks / 4)
        yield histogram


def page_of(collector: Collector) -> str:
    """Return the page as Prometheus gets it."""
    registry = CollectorRegistry()
    registry.register(collector)
    return generate_latest(registry).decode()


def reported(totals: Totals, worker: int, counted: Counted) -> None:
    """Have a worker report, through JSON as it really does."""
    registry = CollectorRegistry()
    registry.register(counted)
    totals.take(worker, json.loads(json.dumps(report_of(registry))))


def summed(totals: Totals, own: Counted) -> str:
    """Return the page of a supervisor."""
    return page_of(SummedCollector(own, totals, lambda: ()))


def test_without_reports_the_page_is_the_supervisors_own() -> None:
    """To the letter, so that names, kinds, helps and labels can't get lost on the way."""
    own = Counted(checks=4, waiting=3)
    assert summed(Totals(), own) == page_of(own)


def test_all_values_are_summed_but_for_what_is_no_amount() -> None:
    """Each sample under its name and labels; whether all is ready, the supervisor alone says."""
    totals = Totals()
    reported(totals, 0, Counted(checks=2, waiting=1, ready=0))
    reported(totals, 1, Counted(checks=98, waiting=5))
    reported(totals, 1, Counted(checks=100, waiting=6))
    page = summed(totals, Counted(checks=2, waiting=0))
    assert page == page_of(Counted(checks=104, waiting=7))


def test_what_ended_workers_had_counted_remains_once() -> None:
    """In counters and histograms; their gauges are gone with them."""
    totals = Totals()
    for _ in range(2):
        reported(totals, 0, Counted(checks=8, waiting=1))
        totals.end(0)
        totals.end(0)
    reported(totals, 0, Counted(checks=4, waiting=2))
    assert summed(totals, Counted()) == page_of(Counted(checks=20, waiting=2))


def test_a_family_that_only_workers_have_is_shown() -> None:
    """The supervisor needn't know it."""

    class Nothing(Collector):
        def collect(self) -> Iterator[Metric]:
            """Make no family."""
            return iter(())

    totals = Totals()
    reported(totals, 0, Counted(checks=8))
    page = page_of(SummedCollector(Nothing(), totals, lambda: ()))
    assert 'checks_total{code="allowed",dialect="envoy"} 8.0' in page


def test_delays_grow_to_a_bound() -> None:
    """The first end costs no time; a worker that can never start is tried every few seconds, for ever."""
    assert [delay_after(ends) for ends in range(6)] == [0, 0, 0.1, 0.2, 0.4, 0.8]
    assert delay_after(100_000) == LONGEST_DELAY_SECONDS


def settings(**variables: str) -> Settings:
    """Return settings with workers."""
    return load_settings(
        None, {"EXTAUTH_STORE__URL": "redis://h", "EXTAUTH_KEYS__PEPPERS": f'["{"p" * 40}"]', **variables}
    )


def test_what_the_machine_has_is_divided() -> None:
    """All workers together hold what the listener may, and hash in as many threads as there are cores."""
    four = settings(EXTAUTH_WORKERS="4", EXTAUTH_LISTEN__MAX_CONNECTIONS="10")
    share = share_of(four, processors=8)
    assert (share.listen.max_connections, share.keys.hashing.workers) == (3, 2)
    assert share_of(four, processors=2).keys.hashing.workers == 1
    chosen = settings(EXTAUTH_WORKERS="4", EXTAUTH_KEYS__HASHING__WORKERS="3")
    assert share_of(chosen, processors=8).keys.hashing.workers == 3
    assert share.model_copy(update={"listen": four.listen, "keys": four.keys}) == four


def test_the_board_is_shared_and_knows_who_is_absent() -> None:
    """Nobody waits for a worker that takes no connections."""
    board = Board.make(3)
    other = Board(board.descriptor)
    assert other.least() == ABSENT
    board.note(0, 7)
    other.note(2, 5)
    assert board.least() == other.least() == 5
    board.note(2)
    assert other.least() == 7
