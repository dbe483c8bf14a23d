"""The demo's ports, by default those of the shipped files, and how copies of these files get others.

It opens no socket; `conflicts.py` does.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass

from extauth.demo.errors import DemoError

_PORT = re.compile(r"(?<=127\.0\.0\.1:)\d+|(?<=port_value: )\d+")


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


def with_ports(text: str, ports: Ports, *, file: str) -> str:
    """Return the text of a shipped file with its ports replaced, those in comments too.

    Raises:
        DemoError: The text names a port that is none of the demo's; `file` is what the message calls it.
    """
    chosen = ports.by_name()
    replacements = {str(default): str(chosen[name]) for name, default in Ports().by_name().items()}
    unknown = sorted({found for found in _PORT.findall(text) if found not in replacements})
    if unknown:
        raise DemoError(f"{file} names ports that the demo knows nothing of: {', '.join(unknown)}")
    return _PORT.sub(lambda found: replacements[found[0]], text)
