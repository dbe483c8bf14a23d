"""Which configurations can be looked through, and what is done with what is found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from extauth.proxies.checking.envoy import check_envoy
from extauth.proxies.checking.findings import Finding, Severity
from extauth.proxies.checking.nginx import check_nginx
from extauth.proxies.facts import Facts

CHECKS: Mapping[str, Callable[[Path, Facts], list[Finding]]] = {"envoy": check_envoy, "nginx": check_nginx}
_ORDER = list(Severity)


def look_through(proxy: str, path: Path, facts: Facts) -> list[Finding]:
    """Return what is found in a configuration, the worst first.

    Raises:
        UnreadableError: It can't be looked through.
    """
    return sorted(CHECKS[proxy](path, facts), key=lambda finding: _ORDER.index(finding.severity))


def is_fine(findings: list[Finding]) -> bool:
    """Tell whether nothing is unsafe or missing."""
    return all(finding.severity is Severity.ADVICE for finding in findings)
