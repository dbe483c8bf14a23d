"""Looks at the location in which nginx asks extauth."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from extauth.proxies.checking.findings import Finding
from extauth.proxies.checking.names import CLIENT_ADDRESS, REQUEST_ID, listed
from extauth.proxies.checking.nginx_reader import Directive
from extauth.proxies.checking.nginx_scopes import Scope, Server, Target, target_of
from extauth.proxies.facts import Facts
from extauth.proxies.spelling import plain
from extauth.settings.values import parse_duration

_PREFIX = "/nginx"
# nginx's own, where nothing is said.
_DEFAULT_TIMEOUT = timedelta(seconds=60)
_DEFAULT_IDLE = timedelta(seconds=60)
# Whoever waits longer than needed waits for an extauth that hangs.
_LONG = timedelta(seconds=30)
_TARGET = {"x-original-method": "$request_method", "x-original-uri": "$request_uri"}
_CREDENTIALS = {"authorization": "$http_authorization", "x-api-key": "$http_x_api_key"}
_REPEATS = ("timeout", "http_500", "http_502", "http_503", "http_504", "http_429", "non_idempotent")


def findings_of_question(server: Server, scope: Scope, facts: Facts) -> Iterator[Finding]:
    """Yield what is wrong with the location that `auth_request` names."""
    passed = next(scope.own.inner("proxy_pass"), None)
    if passed is None or not passed.args or "$" in passed.args[0]:
        yield Finding(
            "elsewhere",
            scope.where,
            "the location of auth_request has no proxy_pass with a fixed address",
            "proxy_pass http://extauth/nginx;",
        )
        return
    target = target_of(passed.args[0])
    if target is None or target.scheme != "http":
        yield Finding(
            "check-protocol",
            passed.where,
            f"{passed.args[0]!r} is not plain HTTP",
            "proxy_pass http://extauth/nginx;",
        )
        return
    cached = scope.first("proxy_cache")
    if cached is not None and cached.args != ("off",):
        yield Finding(
            "check-cached", cached.where, "answers to checks are kept for others", "proxy_cache off;"
        )
    yield from _of_target(server, scope, target, facts)
    yield from _of_request(scope)
    yield from _of_headers(scope)
    yield from _of_patience(scope, facts)
    yield from _of_failure(server, scope)


def _of_target(server: Server, scope: Scope, target: Target, facts: Facts) -> Iterator[Finding]:
    where = next(scope.own.inner("proxy_pass")).where
    addresses = server.addresses(target.place)
    if addresses != {str(facts.check)}:
        yield Finding(
            "check-address",
            where,
            f"the check goes to {listed(sorted(addresses)) or 'nowhere'}; extauth is at {facts.check}",
            f"server {facts.check}; in the upstream block of the check",
        )
    if target.path != _PREFIX:
        yield Finding(
            "check-prefix",
            where,
            f"the check asks for {target.path or 'the path of the subrequest'!r}",
            f"proxy_pass http://{target.place}{_PREFIX};",
        )
    upstream = server.upstreams.get(target.place)
    kept = upstream is not None and any(upstream.inner("keepalive"))
    plain_connection = scope.fields("proxy_set_header").get("connection") == ""
    if not (kept and plain_connection and scope.value("proxy_http_version") == "1.1"):
        yield Finding(
            "check-connections",
            where,
            "connections to extauth are not kept",
            'keepalive 32; in the upstream, proxy_http_version 1.1; and proxy_set_header Connection "";',
        )
    idle = next(iter(upstream.inner("keepalive_timeout")), None) if upstream else None
    if kept and _duration(" ".join(idle.args[:1]) if idle else "", _DEFAULT_IDLE) >= facts.idle_limit:
        yield Finding(
            "idle-timeout",
            idle.where if idle else where,
            f"idle connections are kept as long as by extauth, {plain(facts.idle_limit)}",
            f"keepalive_timeout {plain(facts.idle)};",
        )


def _of_request(scope: Scope) -> Iterator[Finding]:
    if not any(scope.own.inner("internal")):
        yield Finding("check-public", scope.where, "the location of the check is not internal", "internal;")
    headers = scope.fields("proxy_set_header")
    if scope.value("proxy_pass_request_body") != "off" or headers.get("content-length") != "":
        yield Finding(
            "body-sent",
            scope.where,
            "the check announces the request's body, or waits for it",
            'proxy_pass_request_body off; and proxy_set_header Content-Length "";',
        )
    if scope.value("proxy_method").upper() != "HEAD":
        yield Finding(
            "check-connections",
            scope.where,
            "refusals have a body, which auth_request doesn't read: each costs a connection",
            "proxy_method HEAD;",
        )


def _of_headers(scope: Scope) -> Iterator[Finding]:
    headers = scope.fields("proxy_set_header")
    clean = scope.value("proxy_pass_request_headers") == "off"
    if not clean:
        yield Finding(
            "check-not-clean",
            scope.where,
            "the check has all headers of the client",
            "proxy_pass_request_headers off;",
        )
    for name, value in _TARGET.items():
        if headers.get(name) != value:
            yield Finding(
                "target-not-sent", scope.where, f"{name} is not {value}", f"proxy_set_header {name} {value};"
            )
    if headers.get("host") != "$host":
        yield Finding(
            "host-differs", scope.where, "the check's Host is not $host", "proxy_set_header Host $host;"
        )
    missing = [name for name, value in _CREDENTIALS.items() if clean and headers.get(name) != value]
    missing += [REQUEST_ID] if clean and REQUEST_ID not in headers else []
    if missing:
        yield Finding(
            "check-headers",
            scope.where,
            f"the check comes without {listed(missing)}",
            " ".join(f"proxy_set_header {name} {_CREDENTIALS.get(name, '$request_id')};" for name in missing),
        )
    if headers.get(REQUEST_ID, "$request_id" if clean else "") != "$request_id":
        yield Finding(
            "request-id-chosen",
            scope.where,
            "the check's X-Request-Id is not nginx's own",
            "proxy_set_header X-Request-Id $request_id;",
        )
    yield from _of_address(scope, headers.get(CLIENT_ADDRESS, ""))


def _of_address(scope: Scope, value: str) -> Iterator[Finding]:
    instead = "proxy_set_header X-Extauth-Client-Ip $remote_addr;"
    for said in scope.level("set_real_ip_from"):
        if said.args and said.args[0].endswith("/0"):
            yield Finding(
                "client-address-believed",
                said.where,
                "every client is believed who it says it comes from",
                "set_real_ip_from with the addresses of your own proxies",
            )
    if not value:
        yield Finding("client-address-unknown", scope.where, "the check has no X-Extauth-Client-Ip", instead)
    elif value not in {"$remote_addr", "$realip_remote_addr"}:
        yield Finding(
            "client-address-believed",
            scope.where,
            f"X-Extauth-Client-Ip is {value}, a word of the client",
            instead,
        )


def _of_patience(scope: Scope, facts: Facts) -> Iterator[Finding]:
    instead = f"proxy_read_timeout {plain(facts.timeout)};"
    said = scope.first("proxy_read_timeout")
    timeout = _duration(scope.value("proxy_read_timeout"), _DEFAULT_TIMEOUT)
    where = said.where if said else scope.where
    if timeout < facts.shortest_timeout:
        yield Finding(
            "check-timeout",
            where,
            f"the check may take {plain(timeout)}; the store's deadline and the longest wait are "
            f"{plain(facts.shortest_timeout)} together",
            instead,
        )
    elif timeout > facts.timeout + _LONG:
        yield Finding("check-timeout-long", where, f"the check may take {plain(timeout)}", instead)
    repeats = scope.first("proxy_next_upstream")
    if repeats is not None and any(word in _REPEATS for word in repeats.args):
        yield Finding(
            "check-retried",
            repeats.where,
            f"a check is repeated after {' '.join(repeats.args)}",
            "proxy_next_upstream error;",
        )


def _of_failure(server: Server, scope: Scope) -> Iterator[Finding]:
    pages = list(scope.own.inner("error_page"))
    answered = {code for page in pages for code in page.args}
    if not (scope.is_on("proxy_intercept_errors") and {"429", "500", "502", "503", "504"} <= answered):
        yield Finding(
            "failure-status",
            scope.where,
            "answers but 2xx, 401 and 403, and no answer at all, become a 500",
            "proxy_intercept_errors on; and error_page 400 429 500 502 503 504 … = @extauth_no_answer;",
        )
    for page in pages:
        if opens(server, page) or _may_open(server, page):
            yield Finding(
                "fails-open",
                page.where,
                f"a check that failed ends in {page.args[-1]}, which allows the request",
                "error_page … = @extauth_no_answer; with return 403; in that location",
            )


def opens(server: Server, page: Directive) -> bool:
    """Tell whether an `error_page` makes an answer of 2xx of the errors that it is for."""
    if any(word.startswith("=2") for word in page.args):
        return True
    location = server.location(page.args[-1]) if page.args else None
    if location is None or "=" not in page.args:
        return False
    returned = [one.args[0] for one in location.own.inner("return") if one.args]
    return any(code.startswith("2") for code in returned)


def _may_open(server: Server, page: Directive) -> bool:
    """Tell whether the answer to a failed check is made elsewhere, and not by refusals alone."""
    if "=" not in page.args:
        return False
    location = server.location(page.args[-1])
    codes = [] if location is None else [one.args[:1] for one in location.own.inner("return")]
    return not codes or any(not code or code[0][:1] not in {"4", "5"} for code in codes)


def _duration(text: str, default: timedelta) -> timedelta:
    """Read a time of nginx, whose unit is the second where it has none."""
    if not text:
        return default
    try:
        return parse_duration(f"{text}s" if text.isdecimal() else text.replace(" ", ""))
    except ValueError:
        return default
