"""Who may reach what, by the network policies: each listener by those alone that need it."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

import pytest
import yaml

from tests.deploy.cluster import (
    GATEWAYS,
    MANIFESTS,
    NAME,
    Object,
    container,
    gateway,
    named,
    of_kind,
    overlay,
    settings_text,
)

PODS = {"matchLabels": {NAME: "extauth"}}
CHECK, ADMIN = ("check", "TCP", 9000), ("admin", "TCP", 9001)
COMPLETION, DATAGRAMS = ("completion", "TCP", 9002), ("datagrams", "UDP", 9002)
Port = tuple[str, str, int]
# Who reports ends of requests.
REPORTS = {"envoy-gateway-patched"}


def ports_of(inner: Object) -> dict[str, Port]:
    """Return the ports that a container names."""
    return {
        port["name"]: (port["name"], port.get("protocol", "TCP"), port["containerPort"])
        for port in inner["ports"]
    }


def opened(policies: Iterable[Object], ports: dict[str, Port]) -> set[Port]:
    """Return the ports that policies open; each by its name, so that it is one of the container's."""
    return {
        ports[rule_port["port"]]
        for policy in policies
        for rule in policy["spec"].get("ingress", ())
        for rule_port in rule["ports"]
    }


def test_services_lead_to_ports_that_are_there(objects: tuple[Object, ...]) -> None:
    """One Service for each listener, by the name of the port, with the protocol that it has."""
    ports = ports_of(container(objects))
    served: set[Port] = set()
    for service in of_kind(objects, "Service"):
        assert service["spec"]["selector"] == PODS["matchLabels"]
        assert "type" not in service["spec"], "only the cluster may reach it"
        for port in service["spec"]["ports"]:
            target = ports[port["targetPort"]]
            assert (port.get("protocol", "TCP"), port["port"]) == target[1:]
            served.add(target)
    assert served == set(ports.values()) == {CHECK, ADMIN, COMPLETION, DATAGRAMS}
    labels = named(objects, "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert PODS["matchLabels"].items() <= labels.items()


def test_nothing_is_reached_but_what_a_policy_names(objects: tuple[Object, ...]) -> None:
    """A policy without a rule closes all; those beside it open the admin listener, and no proxy's way."""
    policies = [*of_kind(objects, "NetworkPolicy")]
    assert all(policy["spec"]["podSelector"] == PODS for policy in policies)
    closed = named(objects, "NetworkPolicy", "extauth-nothing")["spec"]
    assert sorted(closed["policyTypes"]) == ["Egress", "Ingress"]
    assert not {"ingress", "egress"} & closed.keys()
    assert opened(policies, ports_of(container(objects))) == {ADMIN}


@pytest.mark.parametrize("name", GATEWAYS)
def test_a_gateway_reaches_what_it_asks_and_nothing_more(name: str) -> None:
    """Its own pods alone, by namespace and labels; never the admin listener."""
    policies = [*of_kind(gateway(name), "NetworkPolicy")]
    ports = ports_of(container(overlay("redis")))
    assert opened(policies, ports) == ({CHECK, COMPLETION} if name in REPORTS else {CHECK})
    for policy in policies:
        assert policy["metadata"]["namespace"] == "extauth"
        assert policy["spec"]["podSelector"] == PODS
        assert policy["spec"]["policyTypes"] == ["Ingress"]
        (peer,) = (peer for rule in policy["spec"]["ingress"] for peer in rule["from"])
        assert peer["namespaceSelector"]["matchLabels"]
        assert peer["podSelector"]["matchLabels"]


def test_together_they_open_every_tcp_port_of_the_services() -> None:
    """And no more: datagrams are for proxies that no gateway here is."""
    policies = [
        *of_kind(overlay("production"), "NetworkPolicy"),
        *of_kind(gateway("envoy-gateway-patched"), "NetworkPolicy"),
    ]
    assert opened(policies, ports_of(container(overlay("redis")))) == {CHECK, ADMIN, COMPLETION}


def test_it_reaches_redis_and_the_names_that_lead_there(objects: tuple[Object, ...]) -> None:
    """With the embedded store nothing at all."""
    egress = [
        rule for policy in of_kind(objects, "NetworkPolicy") for rule in policy["spec"].get("egress", ())
    ]
    ports = {(port["protocol"], port["port"]) for rule in egress for port in rule["ports"]}
    redis = "redis://" in settings_text(objects)
    assert ports == ({("UDP", 53), ("TCP", 53), ("TCP", 6379)} if redis else set())
    assert all(rule["to"] for rule in egress)


def test_a_monitor_looks_at_the_admin_listener() -> None:
    """By the labels and the port's name of its Service, from a namespace that may."""
    objects = overlay("production")
    monitor = named(objects, "ServiceMonitor")["spec"]
    wanted = monitor["selector"]["matchLabels"].items()
    (service,) = (
        each for each in of_kind(objects, "Service") if wanted <= each["metadata"]["labels"].items()
    )
    (endpoint,) = monitor["endpoints"]
    (port,) = service["spec"]["ports"]
    assert (endpoint["port"], endpoint["path"]) == (port["name"], "/metrics")
    assert port["targetPort"] == "admin"
    # The job that the alert rules ask for.
    assert service["metadata"]["labels"][monitor["jobLabel"]] == "extauth"


def test_gateways_ask_the_services_that_are_there() -> None:
    """By name, namespace and port, wherever a gateway names them."""
    services = {
        (f"{each['metadata']['name']}.{each['metadata']['namespace']}.svc.cluster.local", port["port"])
        for each in of_kind(overlay("redis"), "Service")
        for port in each["spec"]["ports"]
    }
    policy = named(gateway("envoy-gateway"), "SecurityPolicy")
    (backend,) = policy["spec"]["extAuth"]["http"]["backendRefs"]
    patches = named(gateway("envoy-gateway-patched"), "EnvoyPatchPolicy")["spec"]["jsonPatches"]
    (cluster,) = (each["operation"]["value"] for each in patches if each["name"] == "extauth_completion")
    (endpoint,) = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
    completion = endpoint["endpoint"]["address"]["socket_address"]
    mesh = yaml.safe_load((MANIFESTS / "gateways" / "istio" / "mesh-config.yaml").read_text())
    told = mesh["meshConfig"]["extensionProviders"][0]["envoyExtAuthzHttp"]
    annotations = named(gateway("ingress-nginx-example"), "Ingress", "api")["metadata"]["annotations"]
    asked = urlsplit(annotations["nginx.ingress.kubernetes.io/auth-url"])
    assert {
        (f"{backend['name']}.{backend['namespace']}.svc.cluster.local", backend["port"]),
        (completion["address"], completion["port_value"]),
        (told["service"], told["port"]),
        (asked.hostname, asked.port),
    } == services - {("extauth-admin.extauth.svc.cluster.local", 9001)}


def test_a_policy_may_name_the_service_of_another_namespace() -> None:
    """Envoy Gateway asks for a grant beside the Service, for policies of that namespace and no other."""
    policy = named(gateway("envoy-gateway"), "SecurityPolicy")
    (backend,) = policy["spec"]["extAuth"]["http"]["backendRefs"]
    grant = named(gateway("envoy-gateway"), "ReferenceGrant", "extauth-envoy-gateway")
    assert grant["metadata"]["namespace"] == backend["namespace"]
    assert [each["name"] for each in grant["spec"]["to"]] == [backend["name"]]
    assert grant["spec"]["from"] == [
        {
            "group": "gateway.envoyproxy.io",
            "kind": "SecurityPolicy",
            "namespace": policy["metadata"]["namespace"],
        }
    ]


def test_the_policy_of_istio_asks_the_provider_that_the_mesh_knows() -> None:
    """By its name, about every request."""
    mesh = yaml.safe_load((MANIFESTS / "gateways" / "istio" / "mesh-config.yaml").read_text())
    policy = named(gateway("istio"), "AuthorizationPolicy")["spec"]
    assert [policy["provider"]["name"]] == [each["name"] for each in mesh["meshConfig"]["extensionProviders"]]
    assert (policy["action"], policy["rules"]) == ("CUSTOM", [{}])
