"""Looks at what Envoy takes from clients: who they are, what they may say, which path they ask for."""

from __future__ import annotations

from collections.abc import Iterator

from extauth.proxies.checking.envoy_parts import Manager, removes
from extauth.proxies.checking.findings import Finding
from extauth.proxies.checking.names import ADDRESS, IDENTITY, INTERNAL, OVERRIDES, REQUEST_ID, listed

_ALIASES = ("x.auth.user.id", "x~auth~user~id")
_ALIAS_REGEX = 'remove_on_match: { key_matcher: { safe_regex: { regex: ".*[^a-z0-9:-].*" } } }'
# The numbers of the enumeration stand for the same words.
_UNDERSCORES = ("REJECT_REQUEST", "DROP_HEADER", 1, 2)
_ESCAPED = ("REJECT_REQUEST", "UNESCAPE_AND_REDIRECT", "UNESCAPE_AND_FORWARD", 2, 3, 4)


def findings_of_client(manager: Manager) -> Iterator[Finding]:
    """Yield what is wrong with it."""
    yield from _of_address(manager)
    yield from _of_path(manager)
    yield from _of_headers(manager)


def _of_address(manager: Manager) -> Iterator[Finding]:
    node = manager.node
    if not node.get("use_remote_address").is_true:
        yield Finding(
            "client-address-believed",
            node.get("use_remote_address").where,
            "the client is who X-Forwarded-For says it is",
            "use_remote_address: true",
        )
    # With load balancers in front, what they append is needed.
    hops = node.get("xff_num_trusted_hops").value
    names = [name for name in ADDRESS if not (hops and name == "x-forwarded-for")]
    if kept := [name for name in names if not removes(manager, name)]:
        yield Finding(
            "address-claims",
            node.get("early_header_mutation_extensions").where,
            f"the client's own {listed(kept)} reach the upstream",
            " ".join(f"- remove: {name}" for name in kept),
        )


def _of_path(manager: Manager) -> Iterator[Finding]:
    node = manager.node
    if not node.get("normalize_path").is_true:
        yield Finding(
            "path-not-normalised",
            node.get("normalize_path").where,
            "paths are not normalised",
            "normalize_path: true",
        )
    if not node.get("merge_slashes").is_true:
        yield Finding(
            "slashes-not-merged",
            node.get("merge_slashes").where,
            "slashes are not merged",
            "merge_slashes: true",
        )
    action = node.get("path_with_escaped_slashes_action")
    if action.value not in _ESCAPED:
        yield Finding(
            "escaped-slashes",
            action.where,
            "escaped slashes go on as they are",
            "path_with_escaped_slashes_action: REJECT_REQUEST",
        )


def _of_headers(manager: Manager) -> Iterator[Finding]:
    where = manager.node.get("early_header_mutation_extensions").where
    underscores = manager.node.get("common_http_protocol_options", "headers_with_underscores_action")
    if underscores.value not in _UNDERSCORES:
        yield Finding(
            "aliases-kept",
            underscores.where,
            "headers with underscores in their names pass",
            "headers_with_underscores_action: REJECT_REQUEST",
        )
    if not all(removes(manager, name) for name in _ALIASES):
        yield Finding(
            "aliases-kept", where, "names with other characters than letters and dashes pass", _ALIAS_REGEX
        )
    for code, names, instead in (
        ("identity-forged", IDENTITY, "- remove_on_match: { key_matcher: { prefix: x-auth- } }"),
        (
            "internal-forged",
            INTERNAL,
            "- remove_on_match: { key_matcher: { prefix: x-extauth- } }, and x-envoy-",
        ),
        (
            "target-forged",
            OVERRIDES,
            "- remove_on_match: { key_matcher: { prefix: x-original- } }, and - remove: …",
        ),
        ("request-id-chosen", (REQUEST_ID,), "- remove: x-request-id"),
    ):
        if kept := [name for name in names if not removes(manager, name)]:
            what = f"the client's own {listed(kept)} pass{_sometimes(manager)}"
            yield Finding(code, where, what, f"in mutations: {instead}")


def _sometimes(manager: Manager) -> str:
    """Say which filters would remove headers of clients, and don't for all requests."""
    off = [one for one in manager.before if one not in manager.always]
    names = [one.get("name").text for one in off if one.get("typed_config", "mutations", "request_mutations")]
    return f"; {listed(names)} is switched off, here or for a route" if names else ""
