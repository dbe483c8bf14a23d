"""docs/proxies.md lists all that can be found."""

from __future__ import annotations

from extauth.proxies.checking.findings import KINDS
from extauth.proxies.checking.looking import CHECKS
from extauth.proxies.printing import KINDS as PROXIES
from tests.unit.test_docs import page, rows, sections


def test_every_code_has_its_row() -> None:
    """With its severity, its proxies and what comes of it; no row is of one that isn't there."""
    assert rows(sections(page("proxies"))["Findings"]) == [
        [f"`{code}`", kind.severity, ", ".join(PROXIES[name].title for name in kind.proxies), kind.meaning]
        for code, kind in KINDS.items()
    ]


def test_codes_are_of_proxies_that_are_looked_through() -> None:
    """And of one at least."""
    assert all(kind.proxies and set(kind.proxies) <= CHECKS.keys() for kind in KINDS.values())
