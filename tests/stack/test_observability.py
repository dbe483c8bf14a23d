"""The profile `observability`: Prometheus finds both servers and knows the alerts."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

from tests.integration.processes import wait_until

from .stack import SERVERS, Stack

# The first look comes within the interval of 15 s.
_SEEN_WITHIN = 60.0


def test_prometheus_sees_both_servers_and_knows_the_alerts(stack: Stack) -> None:
    """Each extauth by itself, as the rules have it, by the files that compose.yaml mounts."""
    stack.call("--profile", "observability", "up", "--detach", "--no-deps", "prometheus")
    try:
        wait_until(
            lambda: _health(stack) == dict.fromkeys(SERVERS, "up"), within=_SEEN_WITHIN, what="both up"
        )
        rules = [rule["name"] for group in _asked(stack, "rules")["groups"] for rule in group["rules"]]
        assert "ExtauthGone" in rules
    finally:
        stack.container("prometheus").remove(force=True)


def _health(stack: Stack) -> dict[str, str]:
    return {
        target["labels"]["instance"].partition(":")[0]: target["health"]
        for target in _asked(stack, "targets")["activeTargets"]
    }


def _asked(stack: Stack, what: str) -> Any:
    """Return what the API of Prometheus tells, nothing as long as it does not answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{stack.port('prometheus')}/api/v1/{what}") as answer:
            return json.load(answer)["data"]
    except OSError:
        return {"activeTargets": [], "groups": []}
