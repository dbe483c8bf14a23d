"""Real proxies with what gateways of Kubernetes make of the shipped manifests.

No cluster runs here, so what such a gateway does to them is done again, as far as they need it: as Envoy
Gateway 1.9 translates its policies (internal/xds/translator), as Istio does its extension providers
(pilot/pkg/security/authz/builder), and as the template of ingress-nginx 1.15 reads its annotations
(rootfs/etc/nginx/template).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from tests.deploy.cluster import MANIFESTS, Object, gateway, named

from .processes import Child, accepts
from .shipped import ENVOY_OPTIONS, envoy_program, nginx_command

_TYPES = "type.googleapis.com/envoy.extensions"
_HCM = "envoy.filters.network.http_connection_manager"
_EXT_AUTHZ = "envoy.filters.http.ext_authz"
_PLACE = re.compile(r"\.\.(?P<list>\w+)\[\?\(@\.name=='(?P<name>[^']+)'\)\]\.(?P<rest>[\w.]+)")


class Ports(NamedTuple):
    """Where everything is on the loopback interface."""

    ingress: int
    upstream: int
    check: int
    completion: int


def envoy_gateway(name: str, folder: Path, ports: Ports) -> Child:
    """Return an Envoy as Envoy Gateway would run it; not started yet."""
    objects = gateway(name)
    policy = named(objects, "SecurityPolicy")["spec"]["extAuth"]
    filter_name = f"{_EXT_AUTHZ}/securitypolicy/default/extauth"
    service = {
        "server_uri": {"uri": "http://extauth", "cluster": "check", "timeout": policy["timeout"]},
        "path_prefix": policy["http"]["path"],
        "authorization_response": {"allowed_upstream_headers": _exactly(policy["http"]["headersToBackend"])},
    }
    configuration = {
        "failure_mode_allow": policy["failOpen"],
        "status_on_error": {"code": policy["statusOnError"]},
        "allowed_headers": _exactly(policy["headersToExtAuth"]),
        "http_service": service,
    }
    checked = _typed("filters.http.ext_authz.v3.ExtAuthz", configuration)
    listener = _listener(
        {"name": filter_name, "disabled": True, **checked},
        ports,
        **_of_clients(named(objects, "ClientTrafficPolicy")["spec"]),
        access_log=[{"name": "own", **_typed("access_loggers.stream.v3.StdoutAccessLog", {})}],
    )
    resources: dict[str, Object] = {"default/eg/http": listener}
    for patch in named(objects, "EnvoyPatchPolicy")["spec"]["jsonPatches"] if "patched" in name else ():
        _patch(resources, patch)
    clusters = [each for each in resources.values() if each is not listener]
    for cluster in clusters:
        (endpoints,) = cluster["load_assignment"]["endpoints"]
        (endpoint,) = endpoints["lb_endpoints"]
        endpoint["endpoint"]["address"] = _address(ports.completion)
    return _envoy(folder, listener, ports, clusters)


def istio(folder: Path, ports: Ports) -> Child:
    """Return an Envoy as Istio would run it as an ingress gateway; not started yet."""
    values = yaml.safe_load((MANIFESTS / "gateways" / "istio" / "mesh-config.yaml").read_text())
    (provider,) = values["meshConfig"]["extensionProviders"]
    told = provider["envoyExtAuthzHttp"]
    added = [{"key": key, "value": value} for key, value in told["includeAdditionalHeadersInCheck"].items()]
    configuration = {
        "failure_mode_allow": told["failOpen"],
        "status_on_error": {"code": int(told["statusOnError"])},
        "allowed_headers": _matching(told["includeRequestHeadersInCheck"]),
        "http_service": {
            "server_uri": {"uri": "http://extauth", "cluster": "check", "timeout": told["timeout"]},
            "path_prefix": told["pathPrefix"],
            "authorization_request": {"headers_to_add": added},
            "authorization_response": {
                "allowed_upstream_headers": _matching(told["headersToUpstreamOnAllow"]),
                "allowed_client_headers_on_success": _matching(told["headersToDownstreamOnAllow"]),
                "allowed_client_headers": _matching(told["headersToDownstreamOnDeny"]),
            },
        },
    }
    checked = {"name": _EXT_AUTHZ, **_typed("filters.http.ext_authz.v3.ExtAuthz", configuration)}
    return _envoy(folder, _listener(checked, ports), ports, [])


def ingress_nginx(folder: Path, ports: Ports) -> Child:
    """Return an nginx as the ingress-nginx controller would run it; not started yet."""
    objects = gateway("ingress-nginx-example")
    annotations = named(objects, "Ingress", "api")["metadata"]["annotations"]
    said = {name.rpartition("/")[2]: value for name, value in annotations.items()}
    headers = said["auth-response-headers"].split(",")
    added = named(objects, "ConfigMap", said["auth-proxy-set-headers"].partition("/")[2])["data"]
    (folder / "nginx.conf").write_text(
        _NGINX.format(
            port=ports.ingress,
            upstream=ports.upstream,
            url=re.sub(r"//[^/]+", f"//127.0.0.1:{ports.check}", said["auth-url"]),
            method=said["auth-method"],
            added="\n".join(f'proxy_set_header "{name}" "{value}";' for name, value in added.items()),
            taken="\n".join(
                f"auth_request_set $h{number} $upstream_http_{name.lower().replace('-', '_')};"
                f" proxy_set_header '{name}' $h{number};"
                for number, name in enumerate(headers)
            ),
        )
    )
    return Child(
        nginx_command(folder),
        log=folder / "nginx.log",
        folder=folder,
        ready=lambda: accepts(ports.ingress),
    )


def _of_clients(policy: Object) -> Mapping[str, Any]:
    """Return what a ClientTrafficPolicy makes of the connection manager."""
    early = policy["headers"]["earlyRequestHeaders"]
    mutations: list[Object] = [{"remove": name} for name in early["remove"]]
    for each in early["removeOnMatch"]:
        text = each["value"]
        matcher = {"prefix": text} if each["type"] == "Prefix" else {"safe_regex": {"regex": text}}
        mutations.append({"remove_on_match": {"key_matcher": matcher}})
    mutation = "http.early_header_mutation.header_mutation.v3.HeaderMutation"
    assert policy["headers"]["withUnderscoresAction"] == "RejectRequest"
    assert policy["path"]["escapedSlashesAction"] == "RejectRequest"
    assert policy["headers"]["requestID"] == "Generate"
    return {
        "merge_slashes": not policy["path"]["disableMergeSlashes"],
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "common_http_protocol_options": {"headers_with_underscores_action": "REJECT_REQUEST"},
        "generate_request_id": True,
        "preserve_external_request_id": False,
        "early_header_mutation_extensions": [
            {"name": "early", **_typed(mutation, {"mutations": mutations})},
        ],
    }


def _listener(checked: Object, ports: Ports, **more: Any) -> Object:
    route: Object = {"match": {"prefix": "/"}, "route": {"cluster": "upstream"}}
    if checked.get("disabled"):
        settings = _typed("filters.http.ext_authz.v3.ExtAuthzPerRoute", {"check_settings": {}})
        route["typed_per_filter_config"] = {checked["name"]: settings["typed_config"]}
    manager = {
        "stat_prefix": "http",
        "use_remote_address": True,
        "normalize_path": True,
        "server_header_transformation": "PASS_THROUGH",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [
            checked,
            {"name": "envoy.filters.http.router", **_typed("filters.http.router.v3.Router", {})},
        ],
        **more,
    }
    typed = _typed("filters.network.http_connection_manager.v3.HttpConnectionManager", manager)
    return {
        "name": "default/eg/http",
        "address": _address(ports.ingress),
        "default_filter_chain": {"filters": [{"name": _HCM, **typed}]},
    }


def _patch(resources: dict[str, Object], patch: Object) -> None:
    """Do what one patch of an EnvoyPatchPolicy says, as far as the shipped ones go."""
    operation = patch["operation"]
    # What is patched is a copy for each gateway.
    value = json.loads(json.dumps(operation["value"]))
    if operation.get("path") == "" and "jsonPath" not in operation:
        resources[patch["name"]] = value
        return
    place = _PLACE.fullmatch(operation["jsonPath"])
    assert place is not None
    *parents, last = place["rest"].split(".")
    (holder,) = _named(resources[patch["name"]], place["list"], place["name"])
    for step in parents:
        holder = holder[step]
    if "path" not in operation:
        assert operation["op"] == "replace"
        assert last in holder
        holder[last] = value
    elif operation["path"] == "/-":
        holder[last].append(value)
    else:
        key = operation["path"].removeprefix("/")
        assert key not in holder[last], "it would replace what the gateway has set"
        holder[last][key] = value


def _named(tree: Any, within: str, name: str) -> Iterator[Any]:
    """Find what is called so in lists of that name, at any depth."""
    if isinstance(tree, dict):
        for key, inner in tree.items():
            if key == within and isinstance(inner, list):
                yield from (each for each in inner if each.get("name") == name)
            yield from _named(inner, within, name)
    elif isinstance(tree, list):
        for inner in tree:
            yield from _named(inner, within, name)


def _envoy(folder: Path, listener: Object, ports: Ports, clusters: list[Object]) -> Child:
    here = [_cluster("check", ports.check), _cluster("upstream", ports.upstream), *clusters]
    file = folder / "envoy.json"
    file.write_text(json.dumps({"static_resources": {"listeners": [listener], "clusters": here}}))
    return Child(
        [envoy_program(), "-c", str(file), *ENVOY_OPTIONS],
        log=folder / "envoy.log",
        folder=folder,
        ready=lambda: accepts(ports.ingress),
    )


def _cluster(name: str, port: int) -> Object:
    endpoint = {"endpoint": {"address": _address(port)}}
    assignment = {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]}
    return {"name": name, "type": "STATIC", "connect_timeout": "0.25s", "load_assignment": assignment}


def _address(port: int) -> Object:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _typed(kind: str, configuration: Object) -> Object:
    return {"typed_config": {"@type": f"{_TYPES}.{kind}", **configuration}}


def _exactly(names: list[str]) -> Object:
    return {"patterns": [{"exact": name, "ignore_case": True} for name in names]}


def _matching(names: list[str]) -> Object:
    return {
        "patterns": [
            {"prefix": name.removesuffix("*")} if name.endswith("*") else {"exact": name} for name in names
        ]
    }


_NGINX = """
daemon off;
pid nginx.pid;
events {{}}
http {{
  access_log off;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  map $http_x_request_id $req_id {{ default $http_x_request_id; "" $request_id; }}
  server {{
    listen 127.0.0.1:{port};
    location = /_external-auth {{
      internal;
      proxy_intercept_errors off;
      proxy_pass_request_body off;
      proxy_set_header Content-Length "";
      proxy_set_header X-Forwarded-Proto "";
      proxy_set_header X-Request-ID $req_id;
      proxy_method {method};
      proxy_set_header X-Original-URI $request_uri;
      proxy_set_header X-Scheme $scheme;
      proxy_set_header Host extauth.extauth.svc.cluster.local;
      proxy_set_header X-Original-URL $scheme://$http_host$request_uri;
      proxy_set_header X-Original-Method $request_method;
      proxy_set_header X-Sent-From "nginx-ingress-controller";
      proxy_set_header X-Real-IP $remote_addr;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Auth-Request-Redirect $request_uri;
      proxy_pass_request_headers on;
      {added}
      proxy_http_version 1.1;
      set $target "{url}";
      proxy_pass $target;
    }}
    location / {{
      auth_request /_external-auth;
      auth_request_set $auth_cookie $upstream_http_set_cookie;
      add_header Set-Cookie $auth_cookie;
      {taken}
      proxy_set_header Host $host;
      proxy_set_header X-Request-ID $req_id;
      proxy_set_header X-Real-IP $remote_addr;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_http_version 1.1;
      proxy_pass http://127.0.0.1:{upstream};
    }}
  }}
}}
"""
