"""Scopes: which texts are scopes, and what a key that holds some of them may do."""

from __future__ import annotations

import pytest

from extauth.keys.scopes import LONGEST_SCOPE, ScopeSet, is_scope


@pytest.mark.parametrize(
    "text",
    [
        "orders",
        "orders:read",
        "orders:items:read",
        "orders:*",
        "a:b:*",
        "*",
        "v1.orders_x-y:read",
        "x" * LONGEST_SCOPE,
    ],
)
def test_these_are_scopes(text: str) -> None:
    """Words joined by colons, of which the last may be a wildcard."""
    assert is_scope(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "orders:",
        ":read",
        "orders::read",
        "orders read",
        "orders:*:read",
        "**",
        "*:read",
        "or*",
        "orders:re*",
        "ä",
        'a"b',
        "a\\b",
        "a,b",
        "a\n",
        "x" * (LONGEST_SCOPE + 1),
    ],
)
def test_these_are_no_scopes(text: str) -> None:
    """Nothing that would need quoting in a header, and no wildcard within a word or before the end."""
    assert not is_scope(text)


@pytest.mark.parametrize(
    ("held", "needed", "covered"),
    [
        (("orders:read",), "orders:read", True),
        (("orders:read",), "orders:write", False),
        (("orders:read",), "orders:read:all", False),
        (("orders:read",), "orders", False),
        (("orders",), "orders:read", False),
        (("orders:*",), "orders:read", True),
        (("orders:*",), "orders:items:read", True),
        (("orders:*",), "orders", False),
        (("orders:*",), "ordersx:read", False),
        (("orders:*",), "orders:*", True),
        (("orders:items:*",), "orders:*", False),
        (("orders:*",), "orders:items:*", True),
        (("orders:*",), "*", False),
        (("orders:read",), "orders:*", False),
        (("*",), "orders:read", True),
        (("*",), "*", True),
        (("a:x", "orders:*"), "orders:read", True),
        ((), "orders:read", False),
        (("Orders:read",), "orders:read", False),
    ],
)
def test_what_is_covered(held: tuple[str, ...], needed: str, covered: bool) -> None:  # noqa: FBT001 - a table's column
    """A wildcard covers its family and nothing beside it; to need a wildcard is to need all of the family."""
    assert ScopeSet(held).covers(needed) is covered


def test_missing_scopes_are_named_in_order() -> None:
    """The challenge tells the client exactly what it lacks."""
    held = ScopeSet(("a:read", "b:*"))
    assert held.missing(("c:read", "a:read", "b:x", "a:write")) == ("c:read", "a:write")
    assert held.missing(()) == ()
