"""Which numbers the metrics page shows, and where each is read.

One list, so that the documentation can be checked against it.
"""

from __future__ import annotations

from extauth.app import App
from extauth.server.connections import Connections
from extauth.telemetry.lines import LineWriter
from extauth.telemetry.metrics import LabelledReading, MetricsCollector, Reading


def collector_for(app: App, connections: Connections, lines: LineWriter) -> MetricsCollector:
    """Return the collector of a running server."""
    hasher, limits = app.hasher, app.limits
    return MetricsCollector(
        app.counts,
        (
            Reading("extauth_ready", "Whether every part works.", "gauge", lambda: float(app.health.ready)),
            Reading(
                "extauth_argon2_verifications_total",
                "Secrets that argon2 compared.",
                "counter",
                lambda: hasher.verifications,
            ),
            Reading(
                "extauth_argon2_refusals_total",
                "Secrets that found the argon2 queue full.",
                "counter",
                lambda: hasher.refusals,
            ),
            Reading(
                "extauth_limit_buckets", "Buckets in memory that are not full.", "gauge", lambda: len(limits)
            ),
            Reading(
                "extauth_connections",
                "Open connections of the check listener.",
                "gauge",
                lambda: len(connections),
            ),
            Reading(
                "extauth_connections_total",
                "Connections that the check listener accepted.",
                "counter",
                lambda: connections.accepted,
            ),
            Reading(
                "extauth_log_lines_dropped_total",
                "Log lines lost because nobody took them.",
                "counter",
                lambda: lines.dropped,
            ),
        ),
        (
            LabelledReading(
                "extauth_http_refusals_total",
                "Requests refused before they could be checks.",
                "reason",
                connections.refused.items,
            ),
            LabelledReading(
                "extauth_faults_total",
                "Faults that nobody foresaw, by listener.",
                "listener",
                app.counts.faults.items,
            ),
        ),
    )
