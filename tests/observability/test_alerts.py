"""The rules for Prometheus: valid, documented, of metrics that exist, and each fires when it should."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from tests.observability.promql import assert_exists
from tests.observability.promtool import promtool
from tests.unit.test_docs import REPOSITORY, page

FOLDER = REPOSITORY / "deploy" / "observability"
_SCRAPE, _SHOWN = re.findall(r"^```yaml\n(.*?)^```", page("alerts"), re.MULTILINE | re.DOTALL)
_TEXT = (FOLDER / "alerts.yml").read_text(encoding="utf-8")
RULES: list[dict[str, Any]] = [rule for group in yaml.safe_load(_TEXT)["groups"] for rule in group["rules"]]
BY_NAME = {rule["alert"]: rule for rule in RULES}


def test_the_manual_shows_the_file() -> None:
    """To the letter: there is one source."""
    assert _SHOWN == _TEXT


def test_promtool_takes_rules_and_configuration() -> None:
    """As they are shipped."""
    promtool("check", "rules", str(FOLDER / "alerts.yml"))
    promtool("check", "config", str(FOLDER / "prometheus.yml"))


def test_the_job_is_the_one_that_the_rules_ask_about() -> None:
    """In the manual and in the shipped configuration; its path is Prometheus's default."""
    (shown,) = yaml.safe_load(_SCRAPE)["scrape_configs"]
    (shipped,) = yaml.safe_load((FOLDER / "prometheus.yml").read_text(encoding="utf-8"))["scrape_configs"]
    assert shown["static_configs"] == [{"targets": ["127.0.0.1:9001"]}]
    for job in (shown, shipped):
        assert f'up{{job="{job["job_name"]}"}} == 0' == BY_NAME["ExtauthGone"]["expr"]
        assert "metrics_path" not in job


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_a_rule_is_about_metrics_that_exist(rule: dict[str, Any]) -> None:
    """With labels that they have; one that went away would leave a rule that never fires."""
    assert assert_exists(rule["expr"]) or "up{" in rule["expr"]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_a_rule_says_how_bad_it_is_and_what_to_do(rule: dict[str, Any]) -> None:
    """Whoever is woken reads a sentence and, where there is one, the page that goes on from there."""
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert rule["annotations"]["summary"].endswith(".")
    runbook = rule["annotations"].get("runbook")
    assert runbook is None or (REPOSITORY / "docs" / runbook).is_file()
    assert rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}


def test_each_alert_has_a_name_of_its_own() -> None:
    """Prometheus takes two of one name for one."""
    assert len(BY_NAME) == len(RULES)


class Case(NamedTuple):
    """An alert, series in promtool's notation, one value a minute, and whether it fires at a minute."""

    alert: str
    series: dict[str, str]
    minute: int
    fires: bool
    labels: dict[str, str] = {}  # noqa: RUF012 - of a tuple, which nobody changes


_A = {"instance": "a"}
_UP = 'up{job="extauth",instance="a"}'
_CHECKS = 'extauth_checks_total{outcome="%s"}'
_BUCKET = 'extauth_check_duration_seconds_bucket{le="%s"}'
_ALL = {_BUCKET % "0.1": "0+100x40", _BUCKET % "+Inf": "0+100x40"}
_RESTARTS = 'extauth_worker_restarts_total{instance="a"}'
_TAKEN, _ENDED = "extauth_leases_taken_total", 'extauth_leases_ended_total{by="%s"}'
_UNREAD, _REFUSED = (
    'extauth_completion_unread_total{why="%s"}',
    'extauth_completion_refusals_total{status="401"}',
)
_FAILED = 'extauth_failed_authentications_total{reason="malformed"}'

CASES = [
    Case("ExtauthGone", {_UP: "1x3 0x10"}, 8, fires=True, labels={**_A, "job": "extauth"}),
    Case("ExtauthGone", {_UP: "1x7 0x10"}, 8, fires=False),
    Case("ExtauthGone", {_UP: "1x20"}, 8, fires=False),
    Case("ExtauthNowhere", {'up{job="another"}': "1x20"}, 8, fires=True, labels={"job": "extauth"}),
    Case("ExtauthNowhere", {_UP: "0x20"}, 8, fires=False),
    Case("ExtauthNotReady", {'extauth_ready{instance="a"}': "1x3 0x10"}, 8, fires=True, labels=_A),
    Case("ExtauthNotReady", {'extauth_ready{instance="a"}': "1x20"}, 8, fires=False),
    Case(
        "ExtauthRefusesGoodClients",
        {_CHECKS % "unavailable": "0+2x30", _CHECKS % "allowed": "0+98x30"},
        15,
        fires=True,
    ),
    Case(
        "ExtauthRefusesGoodClients",
        {_CHECKS % "unavailable": "0+1x30", _CHECKS % "allowed": "0+199x30"},
        15,
        fires=False,
    ),
    Case(
        "ExtauthDecidesWithoutStore",
        {'extauth_degraded_checks_total{decided="limits=open"}': "0+1x30"},
        10,
        fires=True,
    ),
    Case(
        "ExtauthDecidesWithoutStore",
        {'extauth_degraded_checks_total{decided="limits=open"}': "7x30"},
        10,
        fires=False,
    ),
    Case("ExtauthOverloaded", {"extauth_throttle_refusals_total": "0+1x30"}, 20, fires=True),
    Case("ExtauthOverloaded", {"extauth_argon2_refusals_total": "0+1x30"}, 20, fires=True),
    Case("ExtauthOverloaded", {"extauth_throttle_refusals_total": "9x30"}, 20, fires=False),
    Case(
        "ExtauthSlow",
        {_BUCKET % "0.05": "0+90x40", _BUCKET % "0.1": "0+100x40", _BUCKET % "+Inf": "0+100x40"},
        30,
        fires=True,
    ),
    Case("ExtauthSlow", {_BUCKET % "0.05": "0+100x40", _BUCKET % "+Inf": "0+100x40"}, 30, fires=False),
    Case("ExtauthFault", {'extauth_faults_total{listener="check"}': "0x5 1x20"}, 8, fires=True),
    Case("ExtauthFault", {'extauth_faults_total{listener="check"}': "1x30"}, 20, fires=False),
    Case(
        "ExtauthConfigRefused",
        {'extauth_config_last_reload_successful{instance="a"}': "1x3 0x20"},
        12,
        fires=True,
        labels=_A,
    ),
    Case(
        "ExtauthConfigRefused",
        {'extauth_config_last_reload_successful{instance="a"}': "1x3 0x3 1x20"},
        12,
        fires=False,
    ),
    Case("ExtauthKeysAreTried", {_FAILED: "0+120x40", _CHECKS % "allowed": "0+480x40"}, 30, fires=True),
    Case("ExtauthKeysAreTried", {_FAILED: "0+120x40", _CHECKS % "allowed": "0+1200x40"}, 30, fires=False),
    Case("ExtauthKeysAreTried", {_FAILED: "0+6x40", _CHECKS % "allowed": "0+6x40"}, 30, fires=False),
    Case("ExtauthManyBans", {'extauth_bans{origin="automatic"}': "101x30"}, 20, fires=True),
    Case("ExtauthManyBans", {'extauth_bans{origin="manual"}': "500x30"}, 20, fires=False),
    Case("ExtauthLogLinesLost", {"extauth_log_lines_dropped_total": "0x5 3x20"}, 10, fires=True),
    Case("ExtauthLogLinesLost", {"extauth_log_lines_dropped_total": "3x30"}, 20, fires=False),
    Case("ExtauthWorkersEnd", {_RESTARTS: "0x5 2x30"}, 15, fires=True, labels=_A),
    # A single one is no alert, though Prometheus takes it for a little more than one.
    *(Case("ExtauthWorkersEnd", {_RESTARTS: "1x20 2x30"}, minute, fires=False) for minute in range(21, 40)),
    Case("ExtauthReportsLost", {_TAKEN: "0+100x120", _ENDED % "signal": "0+90x120"}, 110, fires=True),
    Case("ExtauthReportsLost", {_TAKEN: "0+1000x120", _ENDED % "signal": "0+999x120"}, 110, fires=False),
    Case("ExtauthReportsLost", {_TAKEN: "0x120", _ENDED % "signal": "0x120"}, 110, fires=False),
    Case("ExtauthReportsRefused", {_UNREAD % "foreign": "0x5 1x9"}, 8, fires=True),
    Case("ExtauthReportsRefused", {_REFUSED: "0x5 1x9"}, 8, fires=True),
    Case("ExtauthReportsRefused", {_UNREAD % "ignored": "0+5x9"}, 8, fires=False),
    Case("ExtauthQueueStays", {"extauth_queued_checks": "51x30"}, 20, fires=True),
    Case("ExtauthQueueStays", {"extauth_queued_checks": "50x30"}, 20, fires=False),
]


def expectation(case: Case) -> dict[str, Any]:
    """Return the test of a case as promtool reads it."""
    rule = BY_NAME[case.alert]
    annotations = {
        name: text.replace("{{ $labels.instance }}", case.labels.get("instance", ""))
        for name, text in rule["annotations"].items()
    }
    alert = {"exp_labels": {**rule["labels"], **case.labels}, "exp_annotations": annotations}
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in case.series.items()],
        "alert_rule_test": [
            {
                # Between two values, as it nearly always is.
                "eval_time": f"{case.minute}m30s",
                "alertname": case.alert,
                "exp_alerts": [alert] if case.fires else [],
            }
        ],
    }


def test_each_alert_fires_when_it_should_and_not_else(tmp_path: Path) -> None:
    """Series of both kinds for each."""
    for fires in (True, False):
        assert {case.alert for case in CASES if case.fires is fires} == BY_NAME.keys()
    document = {
        "rule_files": [str(FOLDER / "alerts.yml")],
        "evaluation_interval": "30s",
        "tests": [expectation(case) for case in CASES],
    }
    (tmp_path / "tests.yml").write_text(json.dumps(document))
    assert "SUCCESS" in promtool("test", "rules", "tests.yml", folder=tmp_path)
