"""That checks go on while pods come, go and fail: probes, drain, budgets, autoscaling."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from extauth.failure import Mode
from tests.deploy.cluster import DRAIN_SECONDS, OVERLAYS, Object, container, named, of_kind, overlay, own, pod
from tests.deploy.mounted import settings_of

# What an idle process holds, with room for a few ten thousand keys, in MiB.
RESIDENT_MIB = 128
SHARED = [name for name in OVERLAYS if name != "embedded-single"]


def test_probes_ask_the_admin_listener(objects: tuple[Object, ...]) -> None:
    """Liveness never about the store, which a restart would not mend."""
    inner = container(objects)
    probes = {name: inner[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}
    assert {probe["port"] for probe in probes.values()} == {"admin"}
    assert probes["startup"]["path"] == "/readyz"
    assert probes["liveness"]["path"] == "/livez"


@pytest.mark.parametrize(
    ("made", "name"), [*((overlay, name) for name in OVERLAYS), *((own, name) for name in SHARED)]
)
def test_readiness_and_the_failure_policy_belong_together(
    made: Callable[[str], tuple[Object, ...]], name: str
) -> None:
    """Where checks go on without Redis, a pod stays in its Service while Redis is gone; else it leaves."""
    objects = made(name)
    failure = settings_of(objects).failure
    goes_on = {failure.authentication, failure.limits} != {Mode.CLOSED}
    assert goes_on == (made is own)
    assert container(objects)["readinessProbe"]["httpGet"]["path"] == ("/livez" if goes_on else "/readyz")


def test_a_pod_has_the_time_that_its_drain_takes(objects: tuple[Object, ...]) -> None:
    """The sleep before SIGTERM, then checks under way, then workers that hang; and some seconds to spare."""
    spec = pod(objects)
    sleep = container(objects)["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert sleep >= 5, "proxies need a moment to learn that a pod goes"
    assert spec["terminationGracePeriodSeconds"] >= sleep + DRAIN_SECONDS + 5


@pytest.mark.parametrize("name", SHARED)
def test_a_rollout_takes_no_pod_away_before_another_answers(name: str) -> None:
    """And stops where a new one doesn't become ready."""
    spec = named(overlay(name), "Deployment")["spec"]
    assert spec["strategy"]["type"] == "RollingUpdate"
    assert spec["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert spec["strategy"]["rollingUpdate"]["maxSurge"] >= 1
    probe = container(overlay(name))["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] < spec["progressDeadlineSeconds"]


def test_the_embedded_store_has_one_writer() -> None:
    """One pod, the old one gone before the new one comes, and a volume that only one pod may have."""
    objects = overlay("embedded-single")
    spec = named(objects, "Deployment")["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    (claim,) = of_kind(objects, "PersistentVolumeClaim")
    assert claim["spec"]["accessModes"] == ["ReadWriteOncePod"]
    assert not [*of_kind(objects, "HorizontalPodAutoscaler"), *of_kind(objects, "PodDisruptionBudget")]
    (folder,) = (each["mountPath"] for each in container(objects)["volumeMounts"] if each["name"] == "data")
    assert str(settings_of(objects).store.path).startswith(f"{folder}/")
    assert settings_of(objects).workers == 1


@pytest.mark.parametrize("name", SHARED)
def test_a_node_can_be_emptied(name: str) -> None:
    """There is always one pod more than must remain, by the number of replicas or the autoscaler's least."""
    objects = overlay(name)
    (budget,) = of_kind(objects, "PodDisruptionBudget")
    deployment = named(objects, "Deployment")
    scalers = [*of_kind(objects, "HorizontalPodAutoscaler")]
    if scalers:
        (scaler,) = scalers
        assert "replicas" not in deployment["spec"], "each `kubectl apply` would undo the autoscaler's number"
        reference = scaler["spec"]["scaleTargetRef"]
        assert (reference["kind"], reference["name"]) == ("Deployment", deployment["metadata"]["name"])
        least = scaler["spec"]["minReplicas"]
        assert scaler["spec"]["maxReplicas"] > least
    else:
        least = deployment["spec"]["replicas"]
    assert least >= budget["spec"]["minAvailable"] + 1
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert budget["spec"]["selector"]["matchLabels"].items() <= labels.items()


def test_the_autoscaler_can_see_what_it_scales_by() -> None:
    """A share of the CPU means a share of what a pod asks for; no limit slows it down."""
    objects = overlay("production")
    (metric,) = named(objects, "HorizontalPodAutoscaler")["spec"]["metrics"]
    resources = container(objects)["resources"]
    assert metric["resource"]["name"] in resources["requests"]
    assert "cpu" not in resources["limits"]


@pytest.mark.parametrize("name", SHARED)
def test_pods_are_spread(name: str) -> None:
    """Over zones and nodes, in production strictly over nodes; each rule counts the pods that it is about."""
    objects = overlay(name)
    labels = named(objects, "Deployment")["spec"]["template"]["metadata"]["labels"]
    rules = {rule["topologyKey"]: rule for rule in pod(objects)["topologySpreadConstraints"]}
    assert len(rules) == len(pod(objects)["topologySpreadConstraints"]) == 2
    assert all(rule["labelSelector"]["matchLabels"].items() <= labels.items() for rule in rules.values())
    strict = rules["kubernetes.io/hostname"]["whenUnsatisfiable"] == "DoNotSchedule"
    assert strict == (name == "production")


def mebibytes(quantity: str) -> float:
    """Return a quantity of memory in MiB."""
    (number, unit) = re.fullmatch(r"(\d+)(Mi|Gi)", quantity).groups()  # type: ignore[union-attr]  # else it fails
    return float(number) * (1024 if unit == "Gi" else 1)


def test_memory_is_enough_for_every_thread_that_hashes(objects: tuple[Object, ...]) -> None:
    """`workers: 0` would be a thread for each core of the node, which no pod knows beforehand."""
    settings = settings_of(objects)
    hashing = settings.keys.hashing
    assert hashing.workers > 0
    needed = RESIDENT_MIB + settings.workers * hashing.workers * hashing.memory_kib / 1024
    assert mebibytes(container(objects)["resources"]["requests"]["memory"]) >= needed
    assert mebibytes(container(objects)["resources"]["limits"]["memory"]) >= 2 * needed


def test_temporary_files_are_bounded(objects: tuple[Object, ...]) -> None:
    """A folder in memory or on the node's disk that could fill it has a size."""
    folders: list[dict[str, Any]] = [
        each["emptyDir"] for each in pod(objects)["volumes"] if "emptyDir" in each
    ]
    assert folders
    assert all("sizeLimit" in folder for folder in folders)
