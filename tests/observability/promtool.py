"""Prometheus's own tool, which judges pages of metrics, rules, and what rules make of series."""

from __future__ import annotations

import subprocess
from pathlib import Path


def promtool(*arguments: str, given: bytes = b"", folder: Path | None = None) -> str:
    """Run it, and return all that it said; an AssertionError with that where it found something."""
    done = subprocess.run(
        ["promtool", *arguments], input=given, cwd=folder, capture_output=True, timeout=60, check=False
    )
    said = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, said
    return said
