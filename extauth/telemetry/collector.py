"""Which numbers the metrics page shows, and where each is read.

One list, so that the documentation can be checked against it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from extauth.abuse.monitor import AbuseMonitor
from extauth.app import App
from extauth.clock import MICROSECONDS
from extauth.completion.http import REFUSALS
from extauth.health import Readiness
from extauth.server.connections import Connections
from extauth.server.refusals import Refusal
from extauth.stores.bans import Origin
from extauth.telemetry.lines import LineWriter
from extauth.telemetry.metrics import HistogramReading, LabelledReading, MetricsCollector, Reading
from extauth.usage.tracker import UsageTracker


def collector_for(
    app: App,
    connections: Connections,
    lines: LineWriter,
    *,
    completion: Connections | None = None,
    health: Readiness | None = None,
) -> MetricsCollector:
    """Return the collector of a running server. `health` is that of the app, unless more than that counts.

    `completion` are the connections of the completion listener; who has none shows none.
    """
    return MetricsCollector(
        app.counts,
        (*_service(app, health or app.health), *_listener(connections, lines), *_leases(app, completion)),
        (
            *_by_label(app, connections),
            _usage(app.recorder.usage),
            *_abuse(app.parts.abuse),
            *_leases_by_label(app, completion),
        ),
        (_ages(app),),
        bring_up_to_date=app.recorder.flush,
    )


def _service(app: App, health: Readiness) -> Iterable[Reading]:
    hasher, limits, responder = app.hasher, app.limits, app.responder
    compared, refused = "Secrets that argon2 compared.", "Secrets that found the argon2 queue full."
    waiting = "Checks that wait for the store or for argon2."
    crowded_out = "Checks refused at once because too many waited."
    return (
        Reading("extauth_ready", "Whether every part works.", "gauge", lambda: float(health.ready)),
        Reading("extauth_argon2_verifications_total", compared, "counter", lambda: hasher.verifications),
        Reading("extauth_argon2_refusals_total", refused, "counter", lambda: hasher.refusals),
        Reading("extauth_waiting_checks", waiting, "gauge", lambda: responder.waiting),
        Reading("extauth_throttle_refusals_total", crowded_out, "counter", lambda: responder.crowded_out),
        Reading("extauth_limit_buckets", "Buckets that are not full.", "gauge", lambda: len(limits)),
    )


def _listener(connections: Connections, lines: LineWriter) -> Iterable[Reading]:
    still_open, accepted = "Open connections of the check listener.", "Connections it accepted."
    dropped = "Log lines lost because nobody took them."
    return (
        Reading("extauth_open_connections", still_open, "gauge", lambda: len(connections)),
        Reading("extauth_connections_total", accepted, "counter", lambda: connections.accepted),
        Reading("extauth_log_lines_dropped_total", dropped, "counter", lambda: lines.dropped),
    )


def _abuse(abuse: AbuseMonitor) -> Iterable[LabelledReading]:
    failed, refused = "Keys refused with 401, by the reason in the log.", "Requests refused for a ban."

    def bans() -> Iterable[tuple[str, float]]:
        numbers = Counter(dict.fromkeys(Origin, 0))
        numbers.update(ban.origin for ban in abuse.in_force.values())
        return numbers.items()

    return (
        LabelledReading("extauth_bans", "Bans that hold.", "origin", bans, "gauge"),
        LabelledReading("extauth_failed_authentications_total", failed, "reason", abuse.failures.items),
        LabelledReading("extauth_ban_refusals_total", refused, "kind", abuse.refusals.items),
    )


def _by_label(app: App, connections: Connections) -> Iterable[LabelledReading]:
    def refusals() -> Iterable[tuple[str, float]]:
        return [*connections.refused.items(), (Refusal.NOT_FOUND.value, app.responder.not_found)]

    faults, degraded, shadowed = app.counts.faults, app.counts.degraded, app.counts.shadowed
    unasked = "Checks decided without the store, by what decided."
    traced = "Traced checks, by what became of their spans."
    in_shadow = "Requests that a limit in shadow would have refused."
    before = "Requests refused before they could be checks."
    return (
        LabelledReading("extauth_http_refusals_total", before, "reason", refusals),
        LabelledReading("extauth_faults_total", "Faults that nobody foresaw.", "listener", faults.items),
        LabelledReading("extauth_degraded_checks_total", unasked, "decided", degraded.items),
        LabelledReading("extauth_shadow_refusals_total", in_shadow, "limit", shadowed.items),
        LabelledReading("extauth_traced_checks_total", traced, "outcome", app.traced.items),
    )


def _usage(tracker: UsageTracker | None) -> LabelledReading:
    writes = {"ok": 0, "failed": 0} if tracker is None else tracker.writes
    about = "Times that what was counted of usage was written."
    return LabelledReading("extauth_usage_writes_total", about, "outcome", writes.items)


def _leases(app: App, completion: Connections | None) -> Iterable[Reading]:
    counts, leases = app.parts.ends, app.parts.leases
    queued, taken = "Checks that wait for a slot.", "Leases that were given out."
    unknown = "Signals that were about no lease."
    still_open = "Open connections of the completion listener."
    return (
        Reading("extauth_queued_checks", queued, "gauge", lambda: leases.waiting),
        Reading("extauth_leases_taken_total", taken, "counter", lambda: leases.taken),
        Reading("extauth_completion_unknown_total", unknown, "counter", lambda: counts.unknown),
        Reading(
            "extauth_completion_open_connections",
            still_open,
            "gauge",
            lambda: 0 if completion is None else len(completion),
        ),
    )


def _leases_by_label(app: App, completion: Connections | None) -> Iterable[LabelledReading]:
    signals = app.signals

    def unread() -> Iterable[tuple[str, float]]:
        found = {name: getattr(signals, name) for name in ("ignored", "unreadable", "foreign")}
        return [*found.items(), ("dropped", signals.dropped())]

    def refusals() -> Iterable[tuple[str, float]]:
        refused = {} if completion is None else completion.refused
        return [(status, refused.get(status, 0)) for status in REFUSALS]

    kinds = ("otlp", "done", "lines", "json")
    taken, none = "Signals that a request ended, by form.", "What else came, by why it is no signal."
    endings = app.parts.ends.endings
    refused = "Requests that the completion listener refused."
    return (
        LabelledReading(
            "extauth_completion_signals_total",
            taken,
            "form",
            lambda: [(kind, getattr(signals, kind)) for kind in kinds],
        ),
        LabelledReading("extauth_completion_unread_total", none, "why", unread),
        LabelledReading("extauth_completion_refusals_total", refused, "status", refusals),
        LabelledReading("extauth_leases_ended_total", "Leases that ended.", "by", endings),
    )


def _ages(app: App) -> HistogramReading:
    counts = app.parts.ends
    return HistogramReading(
        "extauth_lease_age_seconds",
        "How old leases were when their end was reported.",
        lambda: (counts.age_buckets(), counts.age_sum_us / MICROSECONDS),
    )
