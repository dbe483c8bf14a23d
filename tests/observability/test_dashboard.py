"""The dashboard for Grafana: each panel says what it shows, of metrics that exist."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.observability.promql import METRICS, assert_exists
from tests.observability.promtool import promtool
from tests.unit.test_docs import REPOSITORY

FOLDER = REPOSITORY / "deploy" / "observability" / "grafana"
DASHBOARD: dict[str, Any] = json.loads((FOLDER / "dashboards" / "extauth.json").read_text(encoding="utf-8"))
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
EXPRESSIONS = [target["expr"] for panel in PANELS for target in panel["targets"]]
# Grafana's own variables, by what they could stand for.
_VARIABLES = {"$__rate_interval": "5m", "$instance": ".*"}


def provisioned(name: str) -> dict[str, Any]:
    """Return a file of the provisioning folder."""
    document: dict[str, Any] = yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))
    return document


def sources(value: object) -> list[str]:
    """Return the data sources that are named anywhere in the dashboard."""
    if isinstance(value, dict):
        own = [value["datasource"]["uid"]] if "datasource" in value else []
        return own + [uid for inner in value.values() for uid in sources(inner)]
    return [uid for inner in value for uid in sources(inner)] if isinstance(value, list) else []


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: str(panel["title"]))
def test_a_panel_says_what_it_shows(panel: dict[str, Any]) -> None:
    """In a title, a sentence and a unit; each of its lines has a name."""
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["targets"]
    for target in panel["targets"]:
        assert target["legendFormat"]
        assert assert_exists(target["expr"])
        # Of the servers that are chosen, and of no other.
        assert target["expr"].count("extauth_") == target["expr"].count('instance=~"$instance"')


def test_prometheus_can_read_each_expression(tmp_path: Path) -> None:
    """By its own parser."""
    rules = []
    for number, expression in enumerate(EXPRESSIONS):
        for name, value in _VARIABLES.items():
            expression = expression.replace(name, value)  # noqa: PLW2901 - one replacement after the other
        rules.append({"record": f"expression:number{number}", "expr": expression})
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", str(tmp_path / "rules.yml"))


def test_every_metric_is_shown_somewhere() -> None:
    """One that is not would be of no use to whoever looks here first."""
    assert {name for expression in EXPRESSIONS for name in assert_exists(expression)} == METRICS.keys()


def test_the_data_source_is_the_one_that_is_provisioned() -> None:
    """And no other is named anywhere; the folder of dashboards is the one in which this lies."""
    (source,) = provisioned("datasources/prometheus.yml")["datasources"]
    assert source["type"] == "prometheus"
    assert {*sources(DASHBOARD)} == {source["uid"]}
    (provider,) = provisioned("dashboards/dashboards.yml")["providers"]
    assert provider["options"]["path"].endswith("grafana/dashboards")


def test_panels_do_not_overlap() -> None:
    """On a grid of 24 columns."""
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {
            (column, line)
            for column in range(at["x"], at["x"] + at["w"])
            for line in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(column for column, _ in cells) < 24
        taken |= cells
    numbers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(numbers) == len({*numbers})
