"""Which fields the kinds of gateways and of the Prometheus operator have, as far as the manifests use them.

Written down from the definitions of Envoy Gateway 1.9 (`api/v1alpha1`), Gateway API 1.x, Istio (`istio/api`
of July 2026: `mesh/v1alpha1`, `security/v1`) and the Prometheus operator (`monitoring/v1`). A field that
isn't here is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.deploy.cluster import Object

# A type; a set of texts that may stand there; the fields of a mapping; or, in a list, what each item is.
# `...` is whatever stands there, because it isn't of this kind: an Envoy checks that in tests/integration.
Shape = Any
REQUIRED = "!"

_TARGET = {"group!": str, "kind!": str, "name!": str, "sectionName": str}
_MATCH = {"type": {"Exact", "Prefix", "Suffix", "RegularExpression"}, "value!": str}
_SECURITY_POLICY = {
    "targetRefs": [_TARGET],
    "extAuth": {
        "failOpen": bool,
        "statusOnError": int,
        "timeout": str,
        "headersToExtAuth": [str],
        "recomputeRoute": bool,
        "http!": {
            "backendRefs!": [{"name!": str, "namespace": str, "port": int, "group": str, "kind": str}],
            "path": str,
            "headersToBackend": [str],
        },
    },
}
_CLIENT_TRAFFIC_POLICY = {
    "targetRefs": [_TARGET],
    "path": {
        "escapedSlashesAction": {
            "KeepUnchanged",
            "RejectRequest",
            "UnescapeAndForward",
            "UnescapeAndRedirect",
        },
        "disableMergeSlashes": bool,
    },
    "headers": {
        "withUnderscoresAction": {"Allow", "RejectRequest", "DropHeader"},
        "requestID": {"PreserveOrGenerate", "Preserve", "Generate", "Disable"},
        "earlyRequestHeaders": {"remove": [str], "removeOnMatch": [_MATCH]},
    },
}
_ENVOY_PATCH_POLICY = {
    "targetRef!": _TARGET,
    "type!": {"JSONPatch"},
    "priority": int,
    "jsonPatches!": [
        {
            "type!": {
                "type.googleapis.com/envoy.config.listener.v3.Listener",
                "type.googleapis.com/envoy.config.cluster.v3.Cluster",
            },
            "name!": str,
            "operation!": {"op!": {"add", "replace"}, "path": str, "jsonPath": str, "value!": ...},
        }
    ],
}
_REFERENCE_GRANT = {
    "from!": [{"group!": str, "kind!": str, "namespace!": str}],
    "to!": [{"group!": str, "kind!": str, "name": str}],
}
_AUTHORIZATION_POLICY = {
    "selector": {"matchLabels!": ...},
    "targetRefs": [_TARGET],
    "action": {"ALLOW", "DENY", "AUDIT", "CUSTOM"},
    "provider": {"name!": str},
    "rules": [{"from": ..., "to": ..., "when": ...}],
}
_SERVICE_MONITOR = {
    "jobLabel": str,
    "selector!": {"matchLabels": ...},
    "endpoints!": [{"port": str, "path": str, "interval": str, "scrapeTimeout": str}],
}
_KINDS: Mapping[tuple[str, str], Shape] = {
    ("gateway.envoyproxy.io/v1alpha1", "SecurityPolicy"): _SECURITY_POLICY,
    ("gateway.envoyproxy.io/v1alpha1", "ClientTrafficPolicy"): _CLIENT_TRAFFIC_POLICY,
    ("gateway.envoyproxy.io/v1alpha1", "EnvoyPatchPolicy"): _ENVOY_PATCH_POLICY,
    ("gateway.networking.k8s.io/v1beta1", "ReferenceGrant"): _REFERENCE_GRANT,
    ("security.istio.io/v1", "AuthorizationPolicy"): _AUTHORIZATION_POLICY,
    ("monitoring.coreos.com/v1", "ServiceMonitor"): _SERVICE_MONITOR,
}
_EXTENSION_PROVIDER = {
    "name!": str,
    "envoyExtAuthzHttp!": {
        "service!": str,
        "port!": int,
        "pathPrefix": str,
        "timeout": str,
        "failOpen": bool,
        "statusOnError": str,
        "includeRequestHeadersInCheck": [str],
        "includeAdditionalHeadersInCheck": ...,
        "headersToUpstreamOnAllow": [str],
        "headersToDownstreamOnAllow": [str],
        "headersToDownstreamOnDeny": [str],
    },
}
_METADATA = {"name!": str, "namespace!": str, "labels": ..., "annotations": ...}


class UnknownError(Exception):
    """A field that the kind doesn't have, that it must have, or that holds something else."""


def knows(each: Object) -> bool:
    """Tell whether the object is of one of these kinds."""
    return (each["apiVersion"], each["kind"]) in _KINDS


def validate(each: Object) -> None:
    """Raise UnknownError where the object isn't as its kind has it."""
    spec = _KINDS[each["apiVersion"], each["kind"]]
    whole = {"apiVersion!": str, "kind!": str, "metadata!": _METADATA, "spec!": spec}
    _compare(each, whole, each["kind"])


def validate_mesh_config(values: Object) -> None:
    """Do the same for what Istio's installation is told."""
    _compare(values, {"meshConfig!": {"extensionProviders!": [_EXTENSION_PROVIDER]}}, "values")


def _compare(value: Any, shape: Shape, place: str) -> None:
    if shape is ...:
        return
    if isinstance(shape, type):
        if type(value) is not shape:
            raise UnknownError(f"{place}: {value!r} is no {shape.__name__}")
    elif isinstance(shape, set):
        if value not in shape:
            raise UnknownError(f"{place}: {value!r} is none of {sorted(shape)}")
    elif isinstance(shape, list):
        _compare(value, list, place)
        for number, item in enumerate(value):
            _compare(item, shape[0], f"{place}[{number}]")
    else:
        _compare_fields(value, shape, place)


def _compare_fields(value: Any, shape: Mapping[str, Shape], place: str) -> None:
    _compare(value, dict, place)
    fields = {name.removesuffix(REQUIRED): each for name, each in shape.items()}
    missing = {name.removesuffix(REQUIRED) for name in shape if name.endswith(REQUIRED)} - value.keys()
    unknown = value.keys() - fields.keys()
    if missing or unknown:
        raise UnknownError(f"{place}: lacks {sorted(missing)}, and has {sorted(unknown)}")
    for name, each in value.items():
        _compare(each, fields[name], f"{place}.{name}")
