"""What a cluster's security review asks: the pod security standard "restricted", and more."""

from __future__ import annotations

import re

import pytest
import yaml

from extauth.errors import ConfigError
from extauth.settings.load import load_settings
from tests.deploy.cluster import (
    GATEWAYS,
    Object,
    container,
    gateway,
    named,
    of_kind,
    overlay,
    pod,
    settings_text,
)

# The user of the image.
USER = 10001
# kubernetes.io/docs/concepts/security/pod-security-standards, "Restricted".
RESTRICTED_VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}


def test_only_restricted_pods_may_run_in_the_namespace(objects: tuple[Object, ...]) -> None:
    """The API server refuses others, instead of only warning of them."""
    labels = named(objects, "Namespace")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_each_pod_is_restricted(objects: tuple[Object, ...]) -> None:
    """Not root, no privileges, no way to get any, a filter of system calls, volumes of the harmless kinds."""
    spec, inner = pod(objects), container(objects)
    assert not {"hostNetwork", "hostPID", "hostIPC", "hostUsers"} & spec.keys()
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert inner["securityContext"]["allowPrivilegeEscalation"] is False
    assert inner["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert "privileged" not in inner["securityContext"]
    assert not any("hostPort" in port for port in inner["ports"])
    kinds = {kind for volume in spec["volumes"] for kind in volume if kind != "name"}
    assert kinds <= RESTRICTED_VOLUMES
    assert not {"initContainers", "ephemeralContainers"} & spec.keys()


def test_it_runs_as_the_images_user_on_a_file_system_that_it_cant_write(objects: tuple[Object, ...]) -> None:
    """What it may write is named: a folder for temporary files, and with the embedded store its data."""
    context = pod(objects)["securityContext"]
    assert [context[name] for name in ("runAsUser", "runAsGroup", "fsGroup")] == [USER] * 3
    inner = container(objects)
    assert inner["securityContext"]["readOnlyRootFilesystem"] is True
    written = {mount["mountPath"] for mount in inner["volumeMounts"] if not mount.get("readOnly")}
    embedded = any(of_kind(objects, "PersistentVolumeClaim"))
    assert written == ({"/tmp", "/var/lib/extauth"} if embedded else {"/tmp"})


def test_it_has_no_token_of_the_api_server(objects: tuple[Object, ...]) -> None:
    """Neither by its account, which has no rights anyway, nor by its pods."""
    account = named(objects, "ServiceAccount")
    assert pod(objects)["serviceAccountName"] == account["metadata"]["name"]
    assert account["automountServiceAccountToken"] is False
    assert pod(objects)["automountServiceAccountToken"] is False
    assert not [each for each in objects if each["kind"].endswith(("Role", "RoleBinding"))]


def test_services_become_no_settings(objects: tuple[Object, ...]) -> None:
    """Kubernetes makes EXTAUTH_ADMIN_SERVICE_HOST of a Service, and extauth would not start."""
    assert pod(objects)["enableServiceLinks"] is False
    for service in of_kind(objects, "Service"):
        prefix = service["metadata"]["name"].replace("-", "_").upper()
        if prefix != "EXTAUTH":
            with pytest.raises(ConfigError):
                load_settings(None, {f"{prefix}_SERVICE_HOST": "10.96.0.1"})


def test_images_are_named_by_their_version(objects: tuple[Object, ...]) -> None:
    """`latest`, or none, may be another program tomorrow."""
    image = container(objects)["image"]
    assert re.fullmatch(r"[a-z0-9./-]+(?::(?!latest$)[\w.-]+|@sha256:[0-9a-f]{64})", image)


def test_secrets_come_as_files_and_from_a_secret_alone(objects: tuple[Object, ...]) -> None:
    """No object holds one, no variable does, and what is mounted can be read by extauth's group at most."""
    assert not any(of_kind(objects, "Secret"))
    assert not any("valueFrom" in each for each in container(objects)["env"])
    (mounted,) = (volume["secret"] for volume in pod(objects)["volumes"] if "secret" in volume)
    assert mounted == {"secretName": "extauth-secrets", "defaultMode": 0o440}
    settings = yaml.safe_load(settings_text(objects))
    folder = next(
        mount["mountPath"] for mount in container(objects)["volumeMounts"] if mount["name"] == "secrets"
    )
    assert settings["keys"]["peppers_file"] == f"{folder}/pepper"
    assert not {"peppers"} & settings["keys"].keys()
    assert settings["store"].get("password_file", f"{folder}/redis-password") == f"{folder}/redis-password"
    assert not re.search(r"://[^/@]*:[^/@]*@", settings["store"]["url"])


def test_no_config_map_holds_a_secret() -> None:
    """Of gateways neither: a token for reports of ends would stand in the open there."""
    for each in (
        *of_kind(overlay("production"), "ConfigMap"),
        *of_kind(gateway("ingress-nginx"), "ConfigMap"),
    ):
        assert not re.search(r"(?i)\b(password|token|peppers?|secret):", "\n".join(each["data"].values()))
    for name in GATEWAYS:
        assert "Bearer" not in str(gateway(name))
