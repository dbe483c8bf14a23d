"""What an explanation says of a request: frozen values, and what JSON has of them. It holds no secret."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from extauth.model import OUTCOMES, ApiKey, Decision, Target
from extauth.reporting.standing import InFlight, Standing
from extauth.routes import Route


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A request to explain, as somebody writes it down; `key_id` is empty for one without a key.

    Without a `client_ip` nobody knows how limits by address stand: they count as if nothing was spent.
    """

    url: str
    method: str = "GET"
    key_id: str = ""
    client_ip: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteMatch:
    """The route that applies, and why it does."""

    route: Route
    why: str

    def plain(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        route = self.route
        return {
            "name": route.name,
            "access": route.access.value,
            "template": route.template,
            "methods": list(route.methods),
            "hosts": list(route.hosts),
            "why": self.why,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyState:
    """The key of a request. `state` is a word; `problem` says why nobody can say what its limits are."""

    key: ApiKey
    state: str
    problem: str

    def plain(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        key = self.key
        return {
            "key_id": key.key_id,
            "hint": key.hint,
            "user_id": key.user_id,
            "tier": key.tier,
            "state": self.state,
            "problem": self.problem,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """What a proxy would get: status and header lines."""

    status: int
    headers: tuple[tuple[str, str], ...]

    def plain(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "status": self.status,
            "headers": [{"name": name, "value": value} for name, value in self.headers],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What would come of a request. `status` is what the client would get; `answers` are by dialect."""

    target: Target
    client_ip: str
    match: RouteMatch
    key: KeyState | None
    missing_scopes: tuple[str, ...]
    limits: tuple[Standing, ...]
    in_flight: tuple[InFlight, ...]
    decision: Decision
    status: int
    answers: Mapping[str, Rendered]

    def plain(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        target = self.target
        return {
            "request": {
                "method": target.method,
                "host": target.host,
                "path": target.path,
                "client_ip": self.client_ip,
            },
            "route": self.match.plain(),
            "key": None if self.key is None else self.key.plain(),
            "scopes": {
                "needed": list(self.match.route.scopes),
                "held": [] if self.key is None else list(self.key.key.scopes),
                "missing": list(self.missing_scopes),
            },
            "limits": [standing.plain() for standing in self.limits],
            "in_flight": [standing.plain() for standing in self.in_flight],
            "decision": self._decision(),
            "answers": {name: answer.plain() for name, answer in self.answers.items()},
        }

    def _decision(self) -> dict[str, Any]:
        decision = self.decision
        return {
            "status": self.status,
            "code": decision.code.value,
            "outcome": OUTCOMES[decision.code].value,
            "reason": decision.reason,
            "retry_after": decision.retry_after,
            "violated": list(decision.violated),
            "shadowed": list(decision.shadowed),
        }
