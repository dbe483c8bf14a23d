"""The page of metrics: as Prometheus wants it, documented, and with labels that can't grow."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from prometheus_client.core import Metric

from extauth import __version__
from extauth.abuse.monitor import REASONS
from extauth.admin.counts import AdminOutcome
from extauth.compiled import DIALECTS
from extauth.completion.http import REFUSALS
from extauth.model import OUTCOMES, Code
from extauth.server.refusals import Refusal
from extauth.stores.bans import Origin
from extauth.telemetry.metrics import MOST_LIMITS, OTHER_LIMITS, CheckCounts
from extauth.telemetry.reloads import ReloadOutcome
from tests.nodes.node import Node
from tests.observability.page import PATH, USER, asked_node, families_of, page_of
from tests.observability.promtool import promtool
from tests.unit.test_docs import page, rows, sections

# All values that a label may have, by metric and label; the names of limits are those of the settings.
_LABELS: dict[tuple[str, str], set[str]] = {
    ("extauth_checks", "dialect"): {*DIALECTS},
    ("extauth_checks", "outcome"): {one.value for one in OUTCOMES.values()},
    ("extauth_checks", "code"): {one.value for one in Code},
    ("extauth_check_duration_seconds", "dialect"): {*DIALECTS},
    ("extauth_build_info", "version"): {__version__},
    ("extauth_bans", "origin"): {one.value for one in Origin},
    ("extauth_failed_authentications", "reason"): {*REASONS},
    ("extauth_ban_refusals", "kind"): {"ip", "key", "user"},
    ("extauth_http_refusals", "reason"): {one.value for one in Refusal},
    ("extauth_faults", "listener"): {"check", "admin"},
    ("extauth_traced_checks", "outcome"): {"sent", "full", "failed"},
    ("extauth_usage_writes", "outcome"): {"ok", "failed"},
    ("extauth_shadow_refusals", "limit"): {"hourly", "concurrency"},
    ("extauth_completion_signals", "form"): {"otlp", "done", "lines", "json"},
    ("extauth_completion_unread", "why"): {"ignored", "unreadable", "foreign", "dropped"},
    ("extauth_completion_refusals", "status"): {*REFUSALS},
    ("extauth_leases_ended", "by"): {"signal", "disconnect", "expiry"},
    ("extauth_admin_requests", "outcome"): {one.value for one in AdminOutcome},
    ("extauth_config_reloads", "outcome"): {one.value for one in ReloadOutcome},
    ("extauth_worker_open_connections", "worker"): {"0", "1"},
}


@pytest.fixture(scope="module", params=[1, 2], ids=["one process", "workers"])
def asked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Give a server that was asked, and the key that it was asked with."""
    folder = tmp_path_factory.mktemp("node")
    with asked_node(folder, workers=request.param) as (node, key):
        yield node, key


def families(asked: tuple[Node, dict[str, Any]]) -> Sequence[Metric]:
    """Return the families on the page."""
    return families_of(page_of(asked[0]))


def test_promtool_finds_nothing_to_say(asked: tuple[Node, dict[str, Any]]) -> None:
    """About names, units, kinds and help."""
    assert promtool("check", "metrics", given=page_of(asked[0])) == ""


def test_each_metric_is_documented(asked: tuple[Node, dict[str, Any]]) -> None:
    """With its kind and its labels."""
    tables = sections(page("metrics"))
    listed = {
        row[0].strip("`").removesuffix("_total"): (row[1], {*re.findall(r"`(\w+)`", row[2])})
        for heading in ("Metrics", "Metrics with workers")
        for row in rows(tables[heading])
    }
    for metric in families(asked):
        kind, labels = listed[metric.name]
        assert metric.type == kind, metric.name
        for sample in metric.samples:
            assert sample.labels.keys() - {"le"} == labels, metric.name


def test_units_are_those_of_prometheus(asked: tuple[Node, dict[str, Any]]) -> None:
    """Seconds and bytes, and the unit is the end of the name."""
    wrong = re.compile(r"_(us|ms|milliseconds|microseconds|minutes|kib|mib|percent)(_|$)")
    for metric in families(asked):
        assert not wrong.search(metric.name), metric.name
        assert metric.type != "histogram" or metric.name.endswith(("_seconds", "_bytes")), metric.name
        assert re.fullmatch(r"[A-Z].*\.", metric.documentation), metric.documentation


def test_labels_are_bounded(asked: tuple[Node, dict[str, Any]]) -> None:
    """Each value is one of a set that the program or the settings know, whatever is asked."""
    seen = set()
    for metric in families(asked):
        for sample in metric.samples:
            for label, value in sample.labels.items():
                if label != "le":
                    seen.add((metric.name, label))
                    assert value in _LABELS[metric.name, label]
    # What no request of this test led to has no sample; nothing else is missing.
    assert _LABELS.keys() - seen <= {("extauth_worker_open_connections", "worker")}


def test_nothing_of_a_request_becomes_a_label(asked: tuple[Node, dict[str, Any]]) -> None:
    """No key, key id, user, path or address."""
    node, key = asked
    text = page_of(node).decode()
    for what in (key["key"], key["key_id"], USER, PATH, "127.0.0.1"):
        assert what not in text


def test_counters_of_workers_are_sums(asked: tuple[Node, dict[str, Any]]) -> None:
    """Whichever of them was asked: each check is counted once."""
    node, _ = asked
    assert node.metric("extauth_checks_total") == 4
    assert node.metric("extauth_check_duration_seconds_count") == 4
    assert node.metric("extauth_leases_taken_total") == node.metric("extauth_checks_total", code="allowed")


@pytest.mark.parametrize(
    "name", ["extauth_ready", "extauth_build_info", "extauth_config_last_reload_successful"]
)
def test_gauges_that_are_no_amounts_are_not_summed(asked: tuple[Node, dict[str, Any]], name: str) -> None:
    """A server with workers is ready once."""
    assert asked[0].metric(name) == 1


def test_limits_of_keys_cannot_make_labels_without_end() -> None:
    """Each key may have limits of its own, with names of their own."""
    counts = CheckCounts(DIALECTS)
    for number in range(3 * MOST_LIMITS):
        counts.count_shadowed(f"limit-{number}")
        counts.count_shadowed("limit-0")
    assert len(counts.shadowed) == MOST_LIMITS + 1
    assert counts.shadowed["limit-0"] == 3 * MOST_LIMITS + 1
    assert counts.shadowed[OTHER_LIMITS] == 2 * MOST_LIMITS
