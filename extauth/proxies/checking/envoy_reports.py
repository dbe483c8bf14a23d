"""Looks at how Envoy tells extauth that requests have ended."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from extauth.proxies.checking.envoy_parts import Manager, header_names
from extauth.proxies.checking.envoy_question import findings_of_idle
from extauth.proxies.checking.envoy_reader import Node
from extauth.proxies.checking.findings import Finding
from extauth.proxies.checking.names import listed
from extauth.proxies.facts import Facts
from extauth.proxies.spelling import in_seconds
from extauth.settings.concurrency import GRACE

_WANTED = {
    "rid": '- { key: rid, value: { string_value: "%STREAM_ID%" } }',
    "lease": "- the attribute lease of the shipped file",
    "type": '- { key: type, value: { string_value: "%ACCESS_LOG_TYPE%" } }',
}


def findings_of_reports(manager: Manager, facts: Facts) -> Iterator[Finding]:
    """Yield what is wrong with the access log that reports ends, where limits depend on it."""
    logs = [one.get("typed_config") for one in manager.node.get("access_log").items()]
    ours = [log for log in logs if _is_ours(manager, log, facts)]
    if not ours:
        yield Finding(
            "no-signals",
            manager.node.get("access_log").where,
            "no access log tells extauth that requests have ended",
            "access_log, access_log_options and the cluster extauth_completion of the shipped file",
        )
    for log in ours:
        yield from _of_log(manager, log, facts)
    if ours:
        yield from _of_progress(manager, facts)


def _is_ours(manager: Manager, log: Node, facts: Facts) -> bool:
    if not log.is_a("OpenTelemetryAccessLogConfig"):
        return False
    cluster = log.get("http_service", "http_uri", "cluster").text
    return bool(_keys(log) & {"rid", "lease"}) or str(facts.completion) in manager.addresses(cluster)


def _keys(log: Node) -> set[str]:
    return {one.get("key").text for one in log.get("attributes", "values").items()}


def _of_log(manager: Manager, log: Node, facts: Facts) -> Iterator[Finding]:
    service = log.get("http_service")
    cluster = service.get("http_uri", "cluster")
    if manager.addresses(cluster.text) != {str(facts.completion)}:
        yield Finding(
            "signals-address",
            cluster.where,
            f"ends are reported to {listed(sorted(manager.addresses(cluster.text))) or 'no cluster'}; "
            f"extauth takes them at {facts.completion}",
            f"the cluster `extauth_completion` of the shipped file, with {facts.completion}",
        )
    elif (node := manager.clusters.get(cluster.text)) is not None:
        yield from findings_of_idle(node, manager.protocol(cluster.text), facts)
    if missing := [name for name in _WANTED if name not in _keys(log)]:
        yield Finding(
            "signals-incomplete",
            log.get("attributes").where,
            f"reports lack {listed(missing)}",
            " ".join(_WANTED[name] for name in missing),
        )
    interval, size = log.get("buffer_flush_interval"), log.get("buffer_size_bytes").value
    # Envoy's own is a second.
    held = timedelta(milliseconds=1_000 if interval.milliseconds is None else interval.milliseconds)
    if held > GRACE and size != 0:
        yield Finding(
            "signals-late",
            interval.where,
            f"reports are held back for {in_seconds(held)}",
            "buffer_flush_interval: 0.002s",
        )
    if facts.token_source and "authorization" not in header_names(
        service.get("request_headers_to_add").items()
    ):
        yield Finding(
            "signals-without-token",
            service.where,
            "reports bring no token, which throttle.token asks for",
            "request_headers_to_add with authorization, as `extauth proxy envoy` prints it",
        )


def _of_progress(manager: Manager, facts: Facts) -> Iterator[Finding]:
    options = manager.node.get("access_log_options", "access_log_flush_interval")
    interval = options.milliseconds
    if interval is None or timedelta(milliseconds=interval) > facts.between_reports:
        yield Finding(
            "progress-not-told",
            options.where,
            "requests that run longer than their lease are not told of in time",
            f"access_log_options: {{ access_log_flush_interval: {in_seconds(facts.between_reports)} }}",
        )
