"""Which metrics and labels an expression of PromQL names, and whether they are documented."""

from __future__ import annotations

import re

from tests.unit.test_docs import page, rows, sections

# With their labels; `instance` and `le` are Prometheus's own.
METRICS = {
    row[0].strip("`"): {*re.findall(r"`(\w+)`", row[2]), "instance", "le"}
    for heading in ("Metrics", "Metrics with workers")
    for row in rows(sections(page("metrics"))[heading])
}
_SELECTOR = re.compile(r"\b(extauth_\w+)(?:\{([^}]*)\})?")
_GROUPED = re.compile(r"\bby \(([^)]*)\)")
_OF_HISTOGRAMS = re.compile(r"_(bucket|count|sum)$")


def assert_exists(expression: str) -> set[str]:
    """Return the metrics that are named; an AssertionError for one or a label that there isn't.

    Each must have the labels that the expression groups by, for it groups all that it names.
    """
    grouped = {label.strip() for labels in _GROUPED.findall(expression) for label in labels.split(",")}
    named = set()
    for metric, selectors in _SELECTOR.findall(expression):
        name = metric if metric in METRICS else _OF_HISTOGRAMS.sub("", metric)
        assert name in METRICS, metric
        assert {*re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selectors)} | grouped <= METRICS[name], expression
        named.add(name)
    return named
