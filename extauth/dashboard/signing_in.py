"""Signing in with a key, asking who is signed in, and signing out.

Signing in is an authentication as any other: the same bans, the same counts of failures, and the same answer
for every key that is no good.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import orjson
import structlog
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from extauth import __version__
from extauth.admin.access import cooling_down
from extauth.admin.counts import AdminCounts
from extauth.admin.models import Asked
from extauth.admin.problems import NO_STORE, AdminCode, Problem, ProblemResponse, problem_of
from extauth.admin.reading import read_body
from extauth.clock import MICROSECONDS, from_us
from extauth.dashboard.access import FROM_ELSEWHERE, Doorkeeper, SignedIn
from extauth.dashboard.csrf import is_from_elsewhere
from extauth.dashboard.rights import is_operator, may
from extauth.errors import ExtauthError
from extauth.keys.directory import Rejection
from extauth.keys.views import plain

_JSON = "application/json"


class SignInBody(Asked):
    """The key that somebody signs in with."""

    stand_ins: ClassVar[Mapping[str, object]] = {"key": ""}

    key: Annotated[str, Field(max_length=1_024)]


class SigningIn:
    """Answers at `/dashboard/api/session`."""

    def __init__(self, doorkeeper: Doorkeeper, counts: AdminCounts) -> None:
        self._doorkeeper = doorkeeper
        self._counts = counts
        self._log = structlog.get_logger("extauth.dashboard")

    def route(self, path: str) -> Route:
        """Return the one route."""
        return Route(path, self.respond, methods=["GET", "POST", "DELETE"])

    async def respond(self, request: Request) -> Response:
        """Answer one request."""
        answers = {"POST": self._sign_in, "DELETE": self._sign_out}
        try:
            outcome = await answers.get(request.method, self._show)(request)
        except ExtauthError as error:
            outcome = problem_of(error)
        response = ProblemResponse(outcome) if isinstance(outcome, Problem) else outcome
        self._counts.answered(response.status_code)
        return response

    async def _sign_in(self, request: Request) -> Response | Problem:
        if is_from_elsewhere(request):
            return FROM_ELSEWHERE
        body = await read_body(request, SignInBody, needed=True)
        if isinstance(body, Problem):
            return body
        if body.mistakes:
            return Problem(code=AdminCode.INVALID_INPUT, mistakes=(("/key", "is needed, as text"),))
        door, address = self._doorkeeper, self._doorkeeper.address_of(request)
        authenticator = door.sessions.authenticator
        found = await authenticator.by_text(body.asked.key.strip().encode(), address)
        if isinstance(found, Rejection):
            authenticator.refuse(found, address, "dashboard_login_failed")
            return cooling_down(found) if found.retry_after else Problem(code=AdminCode.INVALID_KEY)
        secure, session = door.is_secure(request), door.sessions.begin(found.key.key_id)
        self._log.info("dashboard_login", key_id=found.key.key_id, client_ip=address)
        signed_in = SignedIn.of(found.key, session, source=address, secure=secure)
        return self._shown(signed_in, {"set-cookie": door.cookie(session, secure=secure)})

    async def _show(self, request: Request) -> Response | Problem:
        # Pages ask this by themselves; that is no use of the session.
        found = await self._doorkeeper.signed_in(request, in_use=False)
        return found if isinstance(found, Problem) else self._shown(found)

    async def _sign_out(self, request: Request) -> Response | Problem:
        found = await self._doorkeeper.signed_in(request, in_use=False)
        if isinstance(found, Problem):
            return found
        await self._doorkeeper.sessions.end(found.session)
        self._log.info("dashboard_logout", key_id=found.key.key_id, client_ip=found.source)
        gone = self._doorkeeper.cookie(None, secure=found.secure)
        return Response(status_code=204, headers={"set-cookie": gone, **NO_STORE})

    def _shown(self, who: SignedIn, headers: Mapping[str, str] | None = None) -> Response:
        body = orjson.dumps(self._view(who))
        return Response(body, media_type=_JSON, headers={**(headers or {}), **NO_STORE})

    def _view(self, who: SignedIn) -> dict[str, Any]:
        settings, sessions, key = self._doorkeeper.settings, self._doorkeeper.sessions, who.key
        operator = is_operator(key)
        ends = from_us(who.session.ends(sessions.rules) * MICROSECONDS)
        return {
            "user_id": key.user_id,
            "key_id": key.key_id,
            "hint": key.hint,
            "name": key.name,
            "tier": key.tier,
            "role": "operator" if operator else "consumer",
            "scopes": list(key.scopes),
            "csrf": sessions.codec.token(who.session),
            "idle_seconds": int(sessions.rules.idle_timeout.total_seconds()),
            "ends_at": plain(ends),
            "may": may(key, sessions.rules.self_service),
            "tiers": list(settings.tiers) if operator else [key.tier],
            "environments": list(settings.keys.environments),
            "default_environment": settings.keys.default_environment,
            "version": __version__,
            "docs": settings.docs_url or ("/docs" if settings.docs.enabled else None),
        }
