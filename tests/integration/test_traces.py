"""Each proxy hands the trace context on to extauth, whose log lines name the trace."""

from __future__ import annotations

from .client import request
from .conftest import Keys, Proxy
from .service import Service
from .upstream import Upstream

_TRACE = "0af7651916cd43dd8448eb211c80319c"


def test_extauth_learns_the_trace(proxy: Proxy, service: Service, keys: Keys, upstream: Upstream) -> None:
    """With `traceparent` from in front of the proxy; without one there is none."""
    key = ("X-API-Key", keys.reader.text)
    traced = ("traceparent", f"00-{_TRACE}-b7ad6b7169203331-01")
    assert request(proxy.port, "/public/a", headers=[key, traced]).status == 200
    assert request(proxy.port, "/public/a", headers=[key]).status == 200
    first, second = (service.decision(received.header("x-request-id")) for received in upstream.requests)
    assert first["trace_id"] == _TRACE
    assert "trace_id" not in second
