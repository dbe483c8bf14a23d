"""Envoy with its own traces, and extauth behind it: one trace, the check in it below Envoy's span."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.integration import shipped
from tests.integration.client import request
from tests.integration.processes import free_ports, wait_until
from tests.integration.upstream import Upstream
from tests.nodes.node import Node
from tests.tracing.collector import Collector, attributes_of, collecting

_TRACING = """
          tracing:
            random_sampling: { value: 100 }
            provider:
              name: envoy.tracers.opentelemetry
              typed_config:
                "@type": type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig
                http_service:
                  http_uri: { uri: "http://127.0.0.1/v1/traces", cluster: traces, timeout: 1s }
                service_name: envoy
          stat_prefix: ingress
"""
_CLUSTER = """  clusters:
  - name: traces
    type: STATIC
    load_assignment:
      cluster_name: traces
      endpoints:
      - lb_endpoints:
        - endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: %d } } }
"""


@pytest.fixture
def collector() -> Iterator[Collector]:
    """Give a collector."""
    with collecting() as collector:
        yield collector


@pytest.fixture
def stage(tmp_path: Path, collector: Collector) -> Iterator[tuple[Node, int]]:
    """Give extauth and the port of an Envoy in front of it, both of which send spans."""
    tracing = {"endpoint": collector.url, "service_name": "keys"}
    node = Node(tmp_path / "node", store_url=f"sqlite:///{tmp_path / 'extauth.db'}", tracing=tracing)
    upstream = Upstream()
    named = shipped.all_ports()
    ports = dict(zip(named, free_ports(len(named)), strict=True))
    ports |= {8082: upstream.start(), 9000: node.check_port, 9002: node.completion_port}

    def trace(file: Path) -> None:
        text = file.read_text()
        for place, replacement in (
            ("\n          stat_prefix: ingress\n", _TRACING),
            ("  clusters:\n", _CLUSTER % collector.port),
        ):
            assert text.count(place) == 1
            text = text.replace(place, replacement)
        file.write_text(text)

    (tmp_path / "envoy").mkdir()
    envoy = shipped.child("envoy", tmp_path / "envoy", ports, trace)
    with ExitStack() as stack:
        stack.callback(upstream.stop)
        for child in (node.child, envoy):
            stack.callback(child.stop)
            child.start()
        stack.callback(node.close)
        yield node, ports[shipped.PROXIES["envoy"].ingress]


def test_a_check_stands_below_the_span_of_envoy(stage: tuple[Node, int], collector: Collector) -> None:
    """In its trace, and the check's own parts below it."""
    node, port = stage
    key = node.create_key()
    assert request(port, "/v1/x", headers=[("X-API-Key", key["key"])]).status == 200
    wait_until(lambda: bool(collector.of("keys")), within=15, what="the spans of extauth")
    (check,) = [span for span in collector.of("keys") if span.name == "extauth.check"]
    wait_until(
        lambda: check.parent_span_id in {span.span_id for span in collector.of("envoy")},
        within=15,
        what="the span of Envoy above it",
    )
    assert {span.trace_id for span in collector.of("envoy")} == {check.trace_id}
    assert attributes_of(check)["extauth.key_id"] == key["key_id"]
    below = [span for span in collector.of("keys") if span.parent_span_id == check.span_id]
    assert "extauth.argon2" in {span.name for span in below}
