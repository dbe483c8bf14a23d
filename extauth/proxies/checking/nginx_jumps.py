"""Follows what leads from one location of nginx to another: `rewrite`, `error_page`, `try_files`.

nginx asks in its access phase. What leads away before that (a rewrite, an error that comes earlier) leaves
the check behind, unless there is one where it leads. `try_files`, `index` and X-Accel-Redirect come after it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from extauth.proxies.checking.findings import Finding
from extauth.proxies.checking.nginx_reader import Directive
from extauth.proxies.checking.nginx_scopes import HANDLERS, SERVES, Scope, Server, changes_path
from extauth.proxies.checking.patterns import compiled

# With these auth_request ends where it refuses, or where the check has no answer.
OF_CHECK = frozenset({"401", "403", "500"})
# nginx answers so before it looks whether there is a check; 413 is the one that any location can have.
_BEFORE = frozenset(
    {"400", "405", "408", "413", "414", "421", "494", "495", "496", "497", "501", "505"}
)  # fmt: skip
# nginx takes `=/path` for `= /path`.
_MATCHING = re.compile(r"(?P<how>=|\^~|~\*|~|)(?P<name>.*)", re.DOTALL)
_LIMITS = (("limit_req", "limit_req_status"), ("limit_conn", "limit_conn_status"))


class Jump(NamedTuple):
    """A directive that leads from a place to `target`, a path or a name; `is_early` says before the check."""

    directive: Directive
    target: str
    is_early: bool


def jumps_of(server: Server) -> Iterator[Jump]:
    """Yield all that leads to another location, each once for each place in which it holds."""
    for scope in (server.scope, *server.locations()):
        for rewrite in scope.own.inner("rewrite"):
            stays = scope.location is not None and rewrite.args[2:] == ("break",)
            if changes_path(rewrite) and not stays and len(rewrite.args) > 1:
                yield Jump(rewrite, rewrite.args[1], is_early=True)
        for page in scope.level("error_page"):
            if page.args:
                yield Jump(page, page.args[-1], is_early=bool({*page.args[:-1]} & _early(scope)))
        for tried in scope.own.inner("try_files"):
            if tried.args and not tried.args[-1].startswith("="):
                yield Jump(tried, tried.args[-1], is_early=False)


def _early(scope: Scope) -> set[str]:
    """Return the statuses that requests of a place can get before they are checked."""
    blocks = [inner for block in scope.chain for inner in (block, *block.inner("if"))]
    found = {one.args[0] for block in blocks for one in block.inner("return") if one.args}
    found |= {scope.value(status, "503") for limit, status in _LIMITS if scope.level(limit)}
    # Clients who ask for an internal location get a 404.
    found |= _BEFORE | ({"404"} if scope.is_internal else set())
    # What a check that was made ends with is looked at where the check is.
    return found - OF_CHECK if scope.is_checked else found


def reached(server: Server, target: str) -> Iterator[Scope]:
    """Yield the locations that a target can lead to; several where it is made of variables."""
    scopes = [scope for scope in server.locations() if scope.own.name == "location"]
    if target.startswith("@"):
        yield from (scope for scope in scopes if scope.own.args == (target,))
        return
    path, variable, _ = target.partition("?")[0].partition("$")
    if variable:
        yield from _possible(scopes, path)
    else:
        yield from _chosen(scopes, path)


def _possible(scopes: list[Scope], start: str) -> Iterator[Scope]:
    """Yield the locations of paths that begin so, whatever follows."""
    nearest = _nearest(scopes, start)
    for scope in scopes:
        how, name = _matching(scope)
        if scope is nearest or how.startswith("~") or (name.startswith(start) and not scope.is_named):
            yield scope


def _chosen(scopes: list[Scope], path: str) -> Iterator[Scope]:
    """Yield the one location that nginx chooses for a path."""
    exact = next((scope for scope in scopes if _matching(scope) == ("=", path)), None)
    nearest = _nearest(scopes, path)
    by_regex = None
    if nearest is None or _matching(nearest)[0] != "^~":
        by_regex = next((scope for scope in scopes if _fits(scope, path)), None)
    chosen = exact or by_regex or nearest
    if chosen is not None:
        yield chosen


def _nearest(scopes: list[Scope], path: str) -> Scope | None:
    """Return the location with the longest prefix of a path."""
    fitting = [
        scope
        for scope in scopes
        if _matching(scope)[0] in {"", "^~"} and path.startswith(_matching(scope)[1])
    ]
    return max(fitting, key=lambda scope: len(_matching(scope)[1]), default=None)


def _fits(scope: Scope, path: str) -> bool:
    how, regex = _matching(scope)
    if not how.startswith("~"):
        return False
    pattern = compiled(regex, ignore_case=how == "~*")
    # One that can't be tried may fit.
    return pattern is None or pattern.search(path) is not None


def _matching(scope: Scope) -> tuple[str, str]:
    """Return how a location is matched, empty for a plain prefix, and what with."""
    match = _MATCHING.fullmatch("".join(scope.own.args))
    return (match["how"], match["name"]) if match else ("", "")


def leaks(location: Scope, target: str) -> bool:
    """Tell whether more than one fixed page can be had in a location to which a target leads."""
    blocks = (location.own, *location.own.inner("if", "limit_except"))
    if any(any(block.inner(*HANDLERS)) for block in blocks):
        return True
    is_fixed = "$" not in target and not target.startswith("@")
    return not (is_fixed or _is_one_page(location)) and any(any(block.inner(*SERVES)) for block in blocks)


def _is_one_page(location: Scope) -> bool:
    """Tell whether a location of files has the same one for every path."""
    rewrites = [one.args[1] for one in location.own.inner("rewrite") if one.args[2:] == ("break",)]
    tried = [name for one in location.own.inner("try_files") for name in one.args]
    return any("$" not in path for path in rewrites) or (
        tried != [] and not any("$" in name or name.startswith("@") for name in tried)
    )


def findings_of_jumps(location: Scope, jumps: list[Jump]) -> Iterator[Finding]:
    """Yield what leads to a location without a check before there was one elsewhere."""
    for jump in jumps:
        if jump.is_early and leaks(location, jump.target):
            name = location.own.args[-1]
            yield Finding(
                "check-left",
                jump.directive.where,
                f"{jump.directive.name} leads to {name} before any check, and there is none in {name}",
                f"no auth_request off for {name}, so that nginx asks there; or try_files, which comes after "
                "the check",
            )
