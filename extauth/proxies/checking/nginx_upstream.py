"""Looks at what nginx's upstreams get: whose word the headers are, and which path."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from extauth.proxies.checking.findings import Finding
from extauth.proxies.checking.names import ADDRESS, IDENTITY, INTERNAL, OVERRIDES, REQUEST_ID, listed
from extauth.proxies.checking.nginx_reader import Directive
from extauth.proxies.checking.nginx_scopes import PASSES, Scope, changes_path, target_of

# How headers are set for each protocol; the three below tell them as parameters of CGI.
_SETTERS = {"proxy_pass": "proxy_set_header", "grpc_pass": "grpc_set_header"}
_INCLUDE = "include extauth-headers.conf;"
_ADDRESS_VALUES = {"", "$remote_addr", "$realip_remote_addr"}
_AGAIN = "; nginx inherits proxy_set_header only into places that have none"


def findings_of_upstream(scope: Scope) -> Iterator[Finding]:
    """Yield what is wrong with a location that hands requests on."""
    headers = _headers(scope)
    yield from _of_names(scope, headers)
    yield from _of_key(scope, headers)
    if headers.get(REQUEST_ID) != "$request_id":
        yield Finding(
            "request-id-chosen",
            scope.where,
            "the upstream's X-Request-Id is not nginx's own",
            "proxy_set_header X-Request-Id $request_id;",
        )
    if "proxy_pass" in _passes(scope):
        yield from _of_host(scope, headers)
        yield from _of_path(scope)


def _passes(scope: Scope) -> set[str]:
    return {directive.name for directive in scope.own.inner(*PASSES)}


def _headers(scope: Scope) -> Mapping[str, str]:
    """Return the headers that are set for the upstream, by their names in lower case."""
    name = next(iter(_passes(scope)))
    if name in _SETTERS:
        return scope.fields(_SETTERS[name])
    parameters = scope.fields(name.replace("_pass", "_param"))
    return {
        key.removeprefix("http_").replace("_", "-"): value
        for key, value in parameters.items()
        if key.startswith("http_")
    }


def _of_names(scope: Scope, headers: Mapping[str, str]) -> Iterator[Finding]:
    fed = {one.args[0]: one.args[1] for one in scope.level("auth_request_set") if len(one.args) > 1}
    repeated = scope.repeated("proxy_set_header")
    forged = [
        name for name in IDENTITY if name not in headers or not _is_ours(headers[name]) or name in repeated
    ]
    if forged:
        yield Finding(
            "identity-forged",
            scope.where,
            f"the client's own {listed(forged)} reach the upstream{_AGAIN}",
            _INCLUDE,
        )
    unknown = [
        name
        for name in IDENTITY
        if name not in forged and fed.get(headers[name]) != f"$upstream_http_{name.replace('-', '_')}"
    ]
    if unknown:
        yield Finding(
            "identity-not-passed",
            scope.where,
            f"{listed(unknown)} are not what extauth answered",
            " ".join(
                f"auth_request_set $extauth_{name[len('x-auth-') :].replace('-', '_')} "
                f"$upstream_http_{name.replace('-', '_')};"
                for name in unknown
            ),
        )
    yield from _of_claims(scope, headers)


def _of_claims(scope: Scope, headers: Mapping[str, str]) -> Iterator[Finding]:
    for code, names, what in (
        ("internal-forged", INTERNAL, "words of extauth or of a proxy"),
        ("target-forged", OVERRIDES, "another method, path or host"),
    ):
        if kept := [name for name in names if headers.get(name) != ""]:
            yield Finding(
                code, scope.where, f"{what}: the client's own {listed(kept)} reach the upstream", _INCLUDE
            )
    if believed := [name for name in ADDRESS if headers.get(name, "$http_") not in _ADDRESS_VALUES]:
        yield Finding(
            "address-claims",
            scope.where,
            f"the client's own {listed(believed)} reach the upstream",
            "proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Real-IP $remote_addr; "
            'proxy_set_header Forwarded "";',
        )


def _is_ours(value: str) -> bool:
    """Tell whether a header's value is no copy of what the client sent."""
    return "$http_" not in value


def _of_key(scope: Scope, headers: Mapping[str, str]) -> Iterator[Finding]:
    kept = [name for name in ("x-api-key", "authorization") if "$http_" in headers.get(name, "$http_")]
    if kept:
        yield Finding(
            "key-forwarded",
            scope.where,
            f"the client's {listed(kept)} reach the upstream",
            'proxy_set_header X-API-Key ""; proxy_set_header Authorization $extauth_upstream_authorization;',
        )


def _of_host(scope: Scope, headers: Mapping[str, str]) -> Iterator[Finding]:
    if headers.get("host") != "$host":
        yield Finding(
            "host-differs",
            scope.where,
            "the upstream's Host is not $host, which the check was told",
            "proxy_set_header Host $host;",
        )


def _of_path(scope: Scope) -> Iterator[Finding]:
    passed = next(scope.own.inner("proxy_pass"))
    url = passed.args[0] if passed.args else ""
    target = target_of(url)
    if target is None or (target.place.startswith("$") and not target.path):
        yield Finding(
            "elsewhere",
            passed.where,
            f"{url!r} is made of variables",
            "proxy_pass with a fixed address",
        )
    elif "$" in target.place and not url.endswith("$request_uri"):
        yield Finding(
            "path-rewritten",
            passed.where,
            f"{url!r} makes the target of a variable, which nginx has decoded and normalised",
            f"proxy_pass {target.scheme}://{target.place.partition('$')[0]};",
        )
    elif target.path and target.path != "$request_uri":
        yield Finding(
            "path-rewritten",
            passed.where,
            f"with a path in {url!r} nginx decodes and normalises the target after the check",
            f"proxy_pass {target.scheme}://{target.place};",
        )
    for block in scope.chain:
        yield from findings_of_rewrites(block.inner("rewrite"))


def findings_of_rewrites(rewrites: Iterable[Directive]) -> Iterator[Finding]:
    """Yield those that give an upstream another path, be they at its place or lead there."""
    for rewrite in rewrites:
        if changes_path(rewrite):
            yield Finding(
                "path-rewritten",
                rewrite.where,
                "a rewrite gives the upstream another path than the one that was decided on",
                "no rewrite behind a check; a redirect, or a path of the upstream's own",
            )
