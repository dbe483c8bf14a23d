"""Looks through a configuration of nginx."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from extauth.proxies.checking.findings import Finding, UnreadableError
from extauth.proxies.checking.names import PAGES
from extauth.proxies.checking.nginx_answers import (
    findings_of_answers,
    findings_of_failures,
    findings_of_logs,
    findings_of_reports,
)
from extauth.proxies.checking.nginx_jumps import Jump, findings_of_jumps, jumps_of, reached
from extauth.proxies.checking.nginx_question import findings_of_question
from extauth.proxies.checking.nginx_reader import read_nginx
from extauth.proxies.checking.nginx_scopes import PASSES, SERVES, Scope, Server, servers_of, target_of
from extauth.proxies.checking.nginx_upstream import findings_of_rewrites, findings_of_upstream
from extauth.proxies.facts import Facts


def check_nginx(path: Path, facts: Facts) -> list[Finding]:
    """Return what is unsafe or missing in a configuration, and in all that it includes.

    Raises:
        UnreadableError: It can't be read, or protects no server.
    """
    servers = servers_of(read_nginx(path))
    if not servers:
        raise UnreadableError(f"{path}: no `server` within `http`, so there is nothing to look at")
    found = [finding for server in servers for finding in _of_server(server, facts)]
    if not (found or any(_asks(server) for server in servers)):
        found.append(_unchecked(servers[0].scope))
    return list(dict.fromkeys(found))


def _of_server(server: Server, facts: Facts) -> Iterator[Finding]:
    asked = {}
    questions = {(scope.value("auth_request"),) for scope in (server.scope, *server.locations())}
    jumps = [
        (jump, location.own)
        for jump in dict.fromkeys(jumps_of(server))
        for location in reached(server, jump.target)
    ]
    for scope in server.locations():
        is_question = scope.location is not None and scope.location.args[-1:] in questions
        if is_question or not any(scope.own.inner(*SERVES)):
            continue
        here = [jump for jump, location in jumps if location == scope.location]
        if scope.is_checked:
            # Who leads to an internal location otherwise, such as an upstream or a script, is not seen.
            if here or not scope.is_internal:
                asked[scope.value("auth_request")] = scope
                yield from _of_checked(server, scope, facts)
                if any(scope.own.inner("proxy_pass")):
                    yield from findings_of_rewrites(
                        jump.directive for jump in here if jump.directive.name == "rewrite"
                    )
        elif scope.is_internal or (scope.is_named and here):
            yield from _of_hidden(scope, here)
        elif not _are_pages(server, scope, facts):
            yield _unchecked(scope)
    for name, scope in asked.items():
        question = server.location(name)
        if question is None:
            yield Finding(
                "check-address",
                scope.where,
                f"auth_request names {name}, and there is no such location",
                "location = /_extauth of extauth.conf",
            )
        else:
            yield from findings_of_question(server, question, facts)


def _of_checked(server: Server, scope: Scope, facts: Facts) -> Iterator[Finding]:
    yield from _of_satisfy(scope)
    yield from _of_names(scope)
    yield from findings_of_failures(server, scope)
    if any(scope.own.inner(*PASSES)):
        yield from findings_of_upstream(scope)
        yield from findings_of_answers(server, scope, facts)
    if facts.in_flight:
        yield from findings_of_reports(server, scope, facts)
    if facts.key_in_query:
        yield from findings_of_logs(server, scope)


def _of_hidden(scope: Scope, jumps: list[Jump]) -> Iterator[Finding]:
    """Yield what is wrong with a location without a check that clients reach through others alone."""
    yield from findings_of_jumps(scope, jumps)
    if jumps and any(scope.own.inner(*PASSES)):
        # Also of a request that was checked before, the headers are still the client's.
        yield from findings_of_upstream(scope)


def _asks(server: Server) -> bool:
    scopes = (server.scope, *server.locations())
    return any(scope.is_checked for scope in scopes)


def _are_pages(server: Server, scope: Scope, facts: Facts) -> bool:
    """Tell whether a location leads to extauth's pages for consumers, and to nothing else."""
    passed = next(scope.own.inner("proxy_pass"), None)
    target = target_of(passed.args[0]) if passed is not None and passed.args else None
    if target is None or not target.path.startswith(PAGES):
        return False
    return server.addresses(target.place) == {facts.pages}


def _unchecked(scope: Scope) -> Finding:
    said = scope.first("auth_request")
    if said is not None:
        return Finding(
            "check-disabled",
            said.where,
            f"auth_request off for {' '.join(scope.own.args)}: such requests pass unchecked",
            "a route with `auth: none` in extauth's settings instead",
        )
    return Finding(
        "unchecked",
        scope.where,
        f"no auth_request for {' '.join(scope.own.args) or 'anything'}",
        "include extauth.conf; in the server",
    )


def _of_satisfy(scope: Scope) -> Iterator[Finding]:
    said = scope.first("satisfy")
    if said is not None and said.args == ("any",):
        yield Finding(
            "check-partial",
            said.where,
            "with `satisfy any` whoever an allow or a password lets in is not checked",
            "satisfy all;",
        )


def _of_names(scope: Scope) -> Iterator[Finding]:
    for name, bad, good in (("underscores_in_headers", "on", "off"), ("ignore_invalid_headers", "off", "on")):
        said = scope.first(name)
        if said is not None and said.args == (bad,):
            yield Finding("aliases-kept", said.where, f"{name} {bad}", f"{name} {good};")
