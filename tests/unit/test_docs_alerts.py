"""docs/alerts.md: rules that Prometheus can read, on metrics that exist, with pages that go on from there."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from tests.unit.test_docs import REPOSITORY, page, rows, sections

_SCRAPE, _RULES = (
    yaml.safe_load(text)
    for text in re.findall(r"^```yaml\n(.*?)^```", page("alerts"), re.MULTILINE | re.DOTALL)
)
RULES: list[dict[str, Any]] = [rule for group in _RULES["groups"] for rule in group["rules"]]
# With their labels; `instance` and `le` are Prometheus's own.
METRICS = {
    row[0].strip("`"): {*re.findall(r"`(\w+)`", row[2]), "instance", "le"}
    for heading in ("Metrics", "Metrics with workers")
    for row in rows(sections(page("metrics"))[heading])
}
_HISTOGRAM = re.compile(r"_(bucket|count|sum)$")


def test_the_job_is_the_one_that_the_rules_ask_about() -> None:
    """And its path is Prometheus's default, on the admin listener's port."""
    (job,) = _SCRAPE["scrape_configs"]
    assert job["static_configs"] == [{"targets": ["127.0.0.1:9001"]}]
    assert f'up{{job="{job["job_name"]}"}} == 0' in [rule["expr"] for rule in RULES]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_a_rule_is_about_metrics_that_exist(rule: dict[str, Any]) -> None:
    """With labels that they have; one that went away would leave a rule that never fires."""
    named = re.findall(r"\b(extauth_\w+)(?:\{([^}]*)\})?", rule["expr"])
    assert named or rule["alert"] == "ExtauthGone"
    for metric, selectors in named:
        labels = METRICS[metric if metric in METRICS else _HISTOGRAM.sub("", metric)]
        assert set(re.findall(r"(\w+)\s*(?:=|!=|=~|!~)", selectors)) <= labels, metric


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
    names = [rule["alert"] for rule in RULES]
    assert len(names) == len(set(names))
