"""Names what the figures were measured on. Nothing here influences them."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

_LIBRARIES = ("extauth", "uvicorn", "uvloop", "httptools", "orjson", "fastapi", "starlette", "slowapi")


def describe_machine() -> dict[str, str]:
    """Return cores, load before the run, kernel and all versions, each under its name."""
    return {
        "cores": f"{len(os.sched_getaffinity(0))} x {_processor()}",
        "load": f"{os.getloadavg()[0]:.2f} before the run",
        "kernel": platform.release(),
        "python": platform.python_version(),
        "wrk": _version(["wrk", "--version"]),
        "redis": _version(["redis-server", "--version"]),
        "nginx": _version(["/usr/sbin/nginx", "-v"]),
        **{name: metadata.version(name) for name in _LIBRARIES},
    }


def _processor() -> str:
    model = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return model[1] if model else platform.machine()


def _version(command: Sequence[str]) -> str:
    """Return the first word with digits of what a program says about itself; some say it as an error."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "none"
    found = re.search(r"\S*\d+\.\d\S*", done.stdout + done.stderr)
    return found[0].rpartition("=")[2].rpartition("/")[2] if found else "unknown"
