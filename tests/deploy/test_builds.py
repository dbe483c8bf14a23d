"""Each overlay builds, and every object in it is one that the API server takes, field by field."""

from __future__ import annotations

from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from tests.deploy import custom_resources
from tests.deploy.cluster import (
    GATEWAYS,
    MANIFESTS,
    OVERLAYS,
    Object,
    build,
    container,
    gateway,
    named,
    overlay,
    own,
    settings_text,
)

# The oldest and the newest that the manifests are meant for: `preStop.sleep` is in 1.30 by default.
VERSIONS = ("1.30", "1.37")


def validate(each: Object) -> None:
    """Fail where the object isn't of its kind, or has a field that its kind doesn't know."""
    if custom_resources.knows(each):
        custom_resources.validate(each)
        return
    for version in VERSIONS:
        kubernetes_validate.validate(each, version, strict=True)


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_object_of_an_overlay_is_valid(name: str) -> None:
    """Strictly: a misspelled field is a mistake, though an API server only warns of it."""
    objects = overlay(name)
    for each in objects:
        validate(each)
    assert {each["metadata"].get("namespace", "extauth") for each in objects} == {"extauth"}


@pytest.mark.parametrize("name", GATEWAYS)
def test_every_object_of_a_gateway_is_valid(name: str) -> None:
    """Those of the gateways' own kinds by the fields that these have."""
    for each in gateway(name):
        validate(each)


def test_a_misspelled_field_is_found() -> None:
    """In a kind of Kubernetes and in one of a gateway: else the two tests above could not fail."""
    service = named(overlay("redis"), "Service")
    with pytest.raises(kubernetes_validate.ValidationError):
        validate({**service, "spec": {**service["spec"], "selectors": {}}})
    policy = named(gateway("envoy-gateway"), "SecurityPolicy")
    with pytest.raises(custom_resources.UnknownError, match="headersToExtauth"):
        validate({**policy, "spec": {"extAuth": {"headersToExtauth": []}}})


def test_what_istio_is_told_has_the_fields_that_it_knows() -> None:
    """The one file that is no object: settings of the mesh."""
    text = (MANIFESTS / "gateways" / "istio" / "mesh-config.yaml").read_text()
    custom_resources.validate_mesh_config(yaml.safe_load(text))


def test_no_two_objects_have_one_name() -> None:
    """An overlay and a gateway are applied one after the other: neither may overwrite what the other made."""
    for name in OVERLAYS:
        for other in GATEWAYS:
            keys = [
                (each["kind"], each["metadata"]["namespace"], each["metadata"]["name"])
                for each in (*overlay(name), *gateway(other))
                if "namespace" in each["metadata"]
            ]
            assert len(keys) == len(set(keys))


def test_the_secret_is_made_of_files_that_are_not_here(tmp_path: Path) -> None:
    """It builds once both are there, under the name that pods mount; and git would not take them."""
    folder = MANIFESTS / "secrets"
    names = ["pepper", "redis-password"]
    assert (folder / ".gitignore").read_text().split() == [f"/{name}" for name in names]
    assert {file.name for file in folder.iterdir()} - {*names} == {".gitignore", "kustomization.yaml"}
    (tmp_path / "kustomization.yaml").write_text((folder / "kustomization.yaml").read_text())
    for name in names:
        (tmp_path / name).write_text("not a real one")
    (secret,) = build(tmp_path)
    validate(secret)
    assert sorted(secret["data"]) == names
    assert (secret["metadata"]["name"], secret["metadata"]["namespace"]) == ("extauth-secrets", "extauth")


@pytest.mark.parametrize("name", ["redis", "production"])
def test_the_folder_of_ones_own_in_the_guide(name: str) -> None:
    """It takes the place of image and settings, under the same name, and adds the component; all is valid."""
    objects = own(name)
    for each in objects:
        validate(each)
    assert settings_text(objects) == settings_text(overlay(name))
    ours, theirs = container(objects), container(overlay(name))
    assert {key for key in ours if ours[key] != theirs[key]} == {"env", "image", "readinessProbe"}
    assert ours["image"].startswith("registry.example.com/platform/extauth:")
