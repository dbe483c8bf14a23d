"""Names what the figures were measured on. Nothing here influences them."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from importlib import metadata
from pathlib import Path

_LIBRARIES = ("extauth", "uvicorn", "uvloop", "httptools", "orjson", "fastapi", "starlette", "slowapi")


def describe_machine() -> dict[str, str]:
    """Return cores, load before the run, kernel, Python, wrk and library versions, each under its name."""
    return {
        "cores": f"{len(os.sched_getaffinity(0))} x {_processor()}",
        "load": f"{os.getloadavg()[0]:.2f} before the run",
        "kernel": platform.release(),
        "python": platform.python_version(),
        "wrk": _wrk_version(),
        **{name: metadata.version(name) for name in _LIBRARIES},
    }


def _processor() -> str:
    model = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return model[1] if model else platform.machine()


def _wrk_version() -> str:
    # wrk has no option that prints its version and succeeds.
    printed = subprocess.run(["wrk", "--version"], capture_output=True, text=True, check=False).stdout
    return printed.split()[1] if printed else "unknown"
