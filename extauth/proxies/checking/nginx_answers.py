"""Looks at what nginx's clients get, and at what extauth is told of the end of a request."""

from __future__ import annotations

from collections.abc import Iterator

from extauth.proxies.checking.findings import Finding
from extauth.proxies.checking.names import LEASE, LIMITS, ROTATION, listed
from extauth.proxies.checking.nginx_jumps import OF_CHECK, leaks, reached
from extauth.proxies.checking.nginx_question import opens
from extauth.proxies.checking.nginx_reader import Directive
from extauth.proxies.checking.nginx_scopes import Scope, Server
from extauth.proxies.facts import Facts

_STATUSES = {"400", "401", "403", "429", "503"}
_AGAIN = "; nginx inherits add_header only into places that have none"
_HEADERS = "include extauth-headers.conf;"
_REFUSAL = "error_page 401 403 = @extauth_refusal; with that location of extauth.conf"
# Variables that hold the query, where a key may stand.
_QUERY = ("$request_uri", "$request ", '$request"', "$args", "$query_string", "$is_args")


def findings_of_answers(server: Server, scope: Scope, facts: Facts) -> Iterator[Finding]:
    """Yield what is wrong with the answers of a location that hands requests on."""
    shown = scope.names("add_header")
    for code, names in (
        ("limits-not-told", LIMITS),
        ("rotation-not-told", ROTATION),
        ("security-headers", tuple(name.lower() for name in facts.security)),
    ):
        if missing := [name for name in names if name not in shown]:
            yield Finding(code, scope.where, f"answers lack {listed(missing)}{_AGAIN}", _HEADERS)
    if doubled := [name for name in LIMITS if name not in scope.names("proxy_hide_header")]:
        yield Finding("limits-doubled", scope.where, f"the upstream's own {listed(doubled)} pass", _HEADERS)
    if scope.is_on("proxy_intercept_errors"):
        yield Finding(
            "errors-intercepted",
            scope.where,
            "the upstream's errors are answered by error_page",
            "proxy_intercept_errors off;",
        )
    yield from _of_refusals(server, scope)


def findings_of_failures(server: Server, scope: Scope) -> Iterator[Finding]:
    """Yield each `error_page` of a checked location that lets pass what the check refused."""
    for page in scope.level("error_page"):
        if not OF_CHECK & set(page.args):
            continue
        # A location is not checked again where it switches the check off.
        passes_on = any(
            not location.is_checked and leaks(location, page.args[-1])
            for location in reached(server, page.args[-1])
        )
        if opens(server, page) or passes_on:
            yield Finding(
                "fails-open",
                page.where,
                f"what the check refused ends in {page.args[-1]}, which lets it pass",
                _REFUSAL,
            )


def _of_refusals(server: Server, scope: Scope) -> Iterator[Finding]:
    page = next((page for page in scope.level("error_page") if {"401", "403"} <= set(page.args)), None)
    refusal = server.location(page.args[-1]) if page is not None and "=" in page.args else None
    body = _fed_by(scope, "x-extauth-body")
    if refusal is None or not body or not _returned(refusal.own, body) >= _STATUSES:
        where = scope.where if refusal is None else refusal.where
        yield Finding("refusals-bare", where, "refusals don't have status and body of extauth", _REFUSAL)
        return
    if refusal.value("default_type") != "application/problem+json":
        yield Finding(
            "refusal-type",
            refusal.where,
            "a refusal's body is not called application/problem+json",
            "default_type application/problem+json;",
        )
    wanted = ("retry-after", *LIMITS)
    if missing := [name for name in wanted if name not in refusal.names("add_header")]:
        yield Finding(
            "limits-not-told",
            refusal.where,
            f"refusals lack {listed(missing)}",
            "the add_header lines of @extauth_refusal in extauth.conf",
        )


def _fed_by(scope: Scope, header: str) -> str:
    """Return the variable that keeps a header of extauth's answer; empty where none does."""
    wanted = f"$upstream_http_{header.replace('-', '_')}"
    kept = (one.args for one in scope.level("auth_request_set"))
    return next((args[0] for args in kept if args[1:] == (wanted,)), "")


def _returned(location: Directive, variable: str) -> set[str]:
    """Return the statuses with which a location says what is in a variable."""
    blocks = [location, *location.inner("if")]
    returns = [one.args for block in blocks for one in block.inner("return")]
    return {args[0] for args in returns if len(args) > 1 and args[1] == variable}


def findings_of_reports(server: Server, scope: Scope, facts: Facts) -> Iterator[Finding]:
    """Yield what is wrong with the reports of the end of requests, where limits depend on them."""
    logs = [log for log in scope.level("access_log") if log.args and log.args[0].startswith("syslog:")]
    ours = [log for log in logs if "rid=" in server.formats.get(_format(log), "")]
    if not ours:
        yield Finding(
            "no-signals",
            scope.where,
            "no access_log tells extauth that requests have ended",
            "include extauth-signals.conf;",
        )
    for log in ours:
        if f"server={facts.datagrams}" not in log.args[0].removeprefix("syslog:").split(","):
            yield Finding(
                "signals-address",
                log.where,
                f"ends are reported to {log.args[0]!r}; extauth takes datagrams at {facts.datagrams}",
                f"access_log syslog:server={facts.datagrams},nohostname,tag=extauth …;",
            )
        if not all(word in server.formats[_format(log)] for word in ("rid=$request_id", "lease=$")):
            yield Finding(
                "signals-incomplete",
                log.where,
                "the log's format tells no rid=$request_id, or no lease=",
                "log_format extauth_signal of extauth-http.conf",
            )
    if not _fed_by(scope, LEASE):
        yield Finding(
            "lease-forgotten",
            scope.where,
            "no auth_request_set keeps X-Extauth-Lease",
            "auth_request_set $extauth_lease $upstream_http_x_extauth_lease;",
        )


def findings_of_logs(server: Server, scope: Scope) -> Iterator[Finding]:
    """Yield access logs that hold queries, where keys may stand in them."""
    logs = scope.level("access_log")
    written = [log for log in logs if log.args and log.args[0] != "off"]
    told = [server.formats.get(_format(log), '"$request"') for log in written]
    bad = [log for log, form in zip(written, told, strict=True) if any(word in f"{form} " for word in _QUERY)]
    where = bad[0].where if bad else scope.where
    if bad or not logs:
        yield Finding(
            "query-logged",
            where,
            "the access log holds queries, where keys may stand (credentials.query_parameter)",
            "access_log off; or a log_format with $uri instead of $request",
        )


def _format(log: Directive) -> str:
    return next((word for word in log.args[1:] if "=" not in word), "combined")
