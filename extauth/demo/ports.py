"""The demo's ports, by default those of the shipped files.

It opens no socket; `conflicts.py` does.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """One TCP port on 127.0.0.1 for each listener; the defaults are the numbers in the shipped files."""

    envoy: int = 8080
    envoy_admin: int = 9901
    nginx: int = 8081
    upstream: int = 8082
    check: int = 9000
    admin: int = 9001
    completion: int = 9002

    def by_name(self) -> dict[str, int]:
        """Return the ports under the names of their fields."""
        return asdict(self)


def option(name: str) -> str:
    """Return the command line option that sets a port."""
    return f"--{name.replace('_', '-')}-port"


def make_variable(name: str) -> str:
    """Return the variable of `make demo` that sets a port."""
    return f"{name.upper()}_PORT"
