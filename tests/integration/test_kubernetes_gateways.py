"""The manifests that attach extauth to gateways of Kubernetes: what holds behind each, and what is lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.nodes.node import Node

from . import gateways
from .client import Response, request
from .conftest import running
from .processes import Child, free_ports, wait_until
from .upstream import Upstream

GATEWAYS = ("envoy-gateway", "envoy-gateway-patched", "istio", "ingress-nginx")
ENVOYS = GATEWAYS[:3]
ROUTES = [
    {"path": "/reports", "limits": ["1/hour"]},
    {"path": "/admin", "scopes": ["admin:read"]},
    {"path": "/slots", "concurrency": {"max": 1}},
    {"path": "/hosted", "hosts": ["api.example.com"]},
]
FORGED = "forged-by-client"


class Attached(NamedTuple):
    """One gateway with an extauth of its own."""

    name: str
    port: int
    node: Node
    key: str
    log: Path

    def ask(self, path: str = "/a", *, key: str | None = None, **forged: str) -> Response:
        """Ask with a key, and with headers that a client may not say."""
        headers = [(name.replace("_", "-"), value) for name, value in forged.items()]
        return request(self.port, path, headers=[("X-API-Key", key or self.key), *headers])

    def decisions(self) -> list[dict[str, str]]:
        """Return the lines that extauth has logged about checks."""
        lines = [json.loads(line) for line in self.log.read_text().split("\n")[:-1]]
        return [line for line in lines if line["event"] == "decision"]


@pytest.fixture(scope="module", params=GATEWAYS)
def attached(
    request: pytest.FixtureRequest, folder: Path, session_upstream: tuple[Upstream, int]
) -> Iterator[Attached]:
    """Each gateway, one after the other."""
    home = folder / f"kubernetes-{request.param}"
    home.mkdir()
    home.chmod(0o755)
    (ingress,) = free_ports(1)
    with ExitStack() as stack:
        node = Node(home / "node", store_url=f"sqlite:///{home / 'extauth.db'}", routes=ROUTES)
        stack.callback(node.child.stop)
        stack.callback(node.close)
        node.child.start()
        ports = gateways.Ports(ingress, session_upstream[1], node.check_port, node.completion_port)
        stack.enter_context(running(made(request.param, home, ports)))
        key = str(node.create_key("public:read")["key"])
        yield Attached(request.param, ingress, node, key, home / "node" / "decisions.log")


def made(name: str, folder: Path, ports: gateways.Ports) -> Child:
    """Return the gateway of that name; not started yet."""
    if name == "istio":
        return gateways.istio(folder, ports)
    if name == "ingress-nginx":
        return gateways.ingress_nginx(folder, ports)
    return gateways.envoy_gateway(name, folder, ports)


def test_an_identity_cant_be_forged(attached: Attached, upstream: Upstream) -> None:
    """The upstream gets extauth's word in the place of a client's, a scope's and a tier's too."""
    names = ("X_Auth_Key_Id", "X_Auth_User_Id", "X_Auth_Scopes", "X_Auth_Tier")
    assert attached.ask(**dict.fromkeys(names, FORGED)).status == 200
    (received,) = upstream.requests
    assert FORGED not in str(received.headers)
    assert received.header("x-auth-user-id") == "user-1"
    assert received.header("x-auth-scopes") == "public:read"


def test_a_name_that_some_read_as_another(attached: Attached, upstream: Upstream) -> None:
    """X_Auth_User_Id: refused by Envoy Gateway, dropped by nginx, let through by Istio, as the guide says."""
    answer = request(attached.port, "/a", headers=[("X-API-Key", attached.key), ("X_Auth_User_Id", FORGED)])
    assert answer.status == (400 if attached.name.startswith("envoy-gateway") else 200)
    assert (FORGED in str(upstream.requests)) == (attached.name == "istio")


def test_the_clients_address_cant_be_forged(attached: Attached, upstream: Upstream) -> None:
    """Whatever a client says of itself, extauth is told where the connection comes from."""
    names = ("X_Forwarded_For", "X_Extauth_Client_Ip", "X_Real_IP")
    before = len(attached.decisions())
    assert attached.ask(**dict.fromkeys(names, "203.0.113.9")).status == 200
    # Envoy Gateway can take what clients claim away from the upstream too.
    assert not (attached.name.startswith("envoy-gateway") and "203.0.113.9" in str(upstream.requests))
    wait_until(lambda: len(attached.decisions()) > before, within=5, what="it is logged")
    # Of a client on loopback an Envoy that fills X-Forwarded-For says its own address.
    assert attached.decisions()[-1]["client_ip"] not in {"", "203.0.113.9"}


def test_the_key_ends_at_an_envoy(attached: Attached, upstream: Upstream) -> None:
    """Behind ingress-nginx the upstream gets it."""
    assert attached.ask().status == 200
    (received,) = upstream.requests
    assert (received.header("x-api-key") == "") == (attached.name in ENVOYS)


def test_refusals(attached: Attached, upstream: Upstream) -> None:
    """True status and problem body from an Envoy; from ingress-nginx 401 or 403 with a page of its own."""
    reports = [attached.ask("/reports") for _ in range(2)]
    answers = [attached.ask(key="wrong"), attached.ask("/admin"), *reports]
    assert len(upstream.requests) == 1
    statuses = [answer.status for answer in answers]
    if attached.name not in ENVOYS:
        assert statuses == [401, 403, 200, 403]
        assert answers[3].header("content-type") == "text/html"
        assert answers[3].header("retry-after") is None
        return
    assert statuses == [401, 403, 200, 429]
    assert [answers[number].problem()["status"] for number in (0, 1, 3)] == [401, 403, 429]
    assert answers[3].header("retry-after")
    assert answers[3].header("x-ratelimit-remaining") == "0"
    assert [name for answer in answers for name in answer.names("x-auth", "x-extauth")] == []


def test_limits_on_allowed_answers(attached: Attached) -> None:
    """Where the gateway can tell them: with the patches of Envoy Gateway, and in Istio."""
    told = attached.ask().names("x-ratelimit", "ratelimit")
    assert bool(told) == (attached.name in {"envoy-gateway-patched", "istio"})


def test_doubtful_paths_are_refused(attached: Attached, upstream: Upstream) -> None:
    """By the gateway or by extauth, which sees the path as the client sent it."""
    for path in ("/a/..%2fadmin", "/a%5c..%5cadmin", "/public/..;/admin"):
        assert attached.ask(path).status in {400, 403}
    assert upstream.requests == []


def test_routes_of_a_host(attached: Attached) -> None:
    """The client's host reaches extauth through an Envoy; behind ingress-nginx it is extauth's own."""
    assert attached.ask("/hosted").status == 200
    assert attached.ask().status == 200
    wait_until(
        lambda: any(line["path"] == "/hosted" for line in attached.decisions()), within=5, what="it is logged"
    )
    (line, *_) = (line for line in attached.decisions() if line["path"] == "/hosted")
    assert (line["host"] == "api.example.com") == (attached.name in ENVOYS)


def test_ends_of_requests_are_reported(attached: Attached) -> None:
    """By the patches of Envoy Gateway alone; elsewhere one request is in flight until its lease expires."""
    reported = attached.name == "envoy-gateway-patched"
    again = 200 if reported else (429 if attached.name in ENVOYS else 403)
    before = attached.node.metric("extauth_completion_signals_total")
    assert [attached.ask().status for _ in range(3)] == [200] * 3
    assert [attached.ask("/slots").status for _ in range(3)] == [200, again, again]
    if reported:
        wait_until(
            lambda: attached.node.metric("extauth_leases_ended_total", by="signal") == 3,
            within=5,
            what="all are reported",
        )
    # None of requests without a lease.
    assert attached.node.metric("extauth_completion_signals_total") - before == (3 if reported else 0)


def test_without_extauth_nothing_passes(attached: Attached, upstream: Upstream) -> None:
    """503 from an Envoy, with a body where it is patched in, and 500 from ingress-nginx."""
    attached.node.child.stop()
    try:
        answer = attached.ask()
        assert answer.status == (503 if attached.name in ENVOYS else 500)
        if attached.name == "envoy-gateway-patched":
            assert answer.problem()["code"] == "authorization_unavailable"
            assert answer.header("retry-after") == "1"
        assert upstream.requests == []
    finally:
        attached.node.child.start()
