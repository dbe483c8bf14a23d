"""One request of the admin API, from its caller to its answer.

Who is it, may they, what do they ask, do it: in this order, so that nothing is told to those who may not
know it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import orjson
import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from extauth.admin.access import Gate
from extauth.admin.counts import AdminCounts
from extauth.admin.endpoint import Answer, Call, Endpoint, Services
from extauth.admin.endpoints import ENDPOINTS
from extauth.admin.mistakes import misread_change, misread_query, refusal
from extauth.admin.models import Asked, NoParameters
from extauth.admin.openapi import document
from extauth.admin.problems import NO_STORE, AdminCode, Problem, ProblemResponse, problem_of
from extauth.admin.reading import read_body, read_idempotency_key, read_if_match, read_query
from extauth.admin.values import KEY_ID
from extauth.errors import ExtauthError, InvalidInputError
from extauth.keys.asked import Actor

PREFIX = "/admin/v1"


class AdminApi:
    """Answers the requests of all endpoints of a table, and counts them, in `counts` where these are given.

    The table is the admin API's own at `/admin/v1`, which is documented there, unless others are given.
    """

    def __init__(
        self,
        *,
        gate: Gate,
        services: Services,
        endpoints: Sequence[Endpoint] = ENDPOINTS,
        prefix: str = PREFIX,
        counts: AdminCounts | None = None,
    ) -> None:
        self.counts = counts or AdminCounts()
        self._endpoints = endpoints
        self._prefix = prefix
        self._gate = gate
        self._services = services
        self._log = structlog.get_logger("extauth.admin")

    def go_by(self, *, services: Services, gate: Gate | None = None) -> None:
        """Answer all further requests with these; without a gate, at the one that it has."""
        self._gate = gate or self._gate
        self._services = services

    def routes(self) -> Sequence[BaseRoute]:
        """Return the routes, one for each path."""
        paths: defaultdict[str, dict[str, Endpoint]] = defaultdict(dict)
        for endpoint in self._endpoints:
            paths[endpoint.path][endpoint.method] = endpoint
            if endpoint.method == "GET":
                paths[endpoint.path]["HEAD"] = endpoint
        routes = [Route(self._prefix + path, _Path(self, by_method)) for path, by_method in paths.items()]
        return [self._documentation(), *routes] if self._prefix == PREFIX else routes

    def _documentation(self) -> Route:
        schema = orjson.dumps(document(self._endpoints, self._prefix))

        async def openapi(_request: Request) -> Response:
            """What there is, which is no secret."""
            return Response(schema, media_type="application/json", headers=NO_STORE)

        return Route(f"{self._prefix}/openapi.json", openapi)

    async def respond(self, endpoint: Endpoint, request: Request) -> Response:
        """Answer one request."""
        try:
            outcome = await self._outcome(endpoint, request)
        except Exception:
            self.counts.answered(500)
            raise
        self.counts.answered(outcome.status)
        if isinstance(outcome, Problem):
            return ProblemResponse(outcome)
        headers = {**outcome.headers, **NO_STORE}
        return Response(orjson.dumps(outcome.body), outcome.status, headers, media_type="application/json")

    async def _outcome(self, endpoint: Endpoint, request: Request) -> Answer | Problem:
        try:
            by = await self._gate.admit(request, endpoint.scope)
        except ExtauthError as error:
            return problem_of(error)
        if isinstance(by, Problem):
            return by
        call = await _read(endpoint, request, by)
        outcome = call if isinstance(call, Problem) else await self._act(endpoint, call)
        if endpoint.changes and endpoint.logged:
            self._note(endpoint, request, by, outcome)
        return outcome

    async def _act(self, endpoint: Endpoint, call: Call[Asked]) -> Answer | Problem:
        misread = call.misread.mistakes
        if misread and not endpoint.judged:
            return refusal(misread, endpoint)
        try:
            outcome = await endpoint.act(self._services, call)
        except InvalidInputError as error:
            found = (mistake for mistake in error.mistakes if mistake not in misread)
            return refusal((*misread, *found), endpoint)
        except ExtauthError as error:
            outcome = problem_of(error)
        # Whatever else stands in the way: the caller has this to mend first.
        return refusal(misread, endpoint) if misread else outcome

    def _note(self, endpoint: Endpoint, request: Request, by: Actor, outcome: Answer | Problem) -> None:
        """Log that somebody asked for a change; what changed stands in the audit log."""
        key_id = request.path_params.get("key_id", "")
        if isinstance(outcome, Problem):
            result = {"code": outcome.code.value}
        else:
            result, key_id = {}, key_id or outcome.key_id
        self._log.info(
            "admin_change",
            operation=endpoint.name,
            status=outcome.status,
            **result,
            key_id=key_id if KEY_ID.fullmatch(key_id) else "",
            actor=by.name,
            client_ip=by.source,
        )


class _Path:
    """All operations at one path.

    An ASGI application, because the router would try the next path where a function lacks the method.
    """

    def __init__(self, api: AdminApi, by_method: Mapping[str, Endpoint]) -> None:
        self._api = api
        self._by_method = by_method

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        endpoint = self._by_method.get(request.method)
        if endpoint is None:
            allowed = {"allow": ", ".join(sorted(self._by_method))}
            response: Response = ProblemResponse(Problem(code=AdminCode.METHOD_NOT_ALLOWED, headers=allowed))
        else:
            response = await self._api.respond(endpoint, request)
        await response(scope, receive, send)


async def _read(endpoint: Endpoint, request: Request, by: Actor) -> Call[Asked] | Problem:
    key_id = request.path_params.get("key_id", "")
    query = read_query(request, NoParameters if endpoint.changes else endpoint.asked)
    asked, misread = query.asked, misread_query(query)
    if endpoint.of_one_key and KEY_ID.fullmatch(key_id) is None:
        return (
            refusal(misread.mistakes, endpoint) if misread.mistakes else Problem(code=AdminCode.KEY_NOT_FOUND)
        )
    if endpoint.changes:
        body = await read_body(request, endpoint.asked, needed=endpoint.needs_body)
        if isinstance(body, Problem):
            return refusal(misread.mistakes, endpoint) if misread.mistakes else body
        asked, misread = body.asked, misread_change(query, body)
    return Call(
        by=by,
        asked=asked,
        misread=misread,
        key_id=key_id,
        ban=request.path_params.get("ban", ""),
        if_match=read_if_match(request),
        idempotency_key=read_idempotency_key(request),
    )
