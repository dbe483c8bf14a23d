"""What may be watched at `/dashboard/api/events`, and the answer that goes on until the session ends.

A stream is no use of its session: else nobody who leaves a page open would ever be idle.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from functools import partial

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from extauth.admin.access import holds
from extauth.admin.problems import NO_STORE, AdminCode, Problem, ProblemResponse, problem_of
from extauth.admin.values import KEY_ID
from extauth.dashboard.access import FOR_OPERATORS, Doorkeeper, SignedIn, owns
from extauth.dashboard.events import Hub, Seen, Viewer, Watch
from extauth.dashboard.operators import Operators, seen_by
from extauth.dashboard.overview import KeyViews, without_shadow
from extauth.dashboard.rights import is_operator
from extauth.errors import ExtauthError, NotFoundError, StoreError
from extauth.keys.scopes import KEYS_READ, USAGE_READ
from extauth.model import ApiKey

_KEY = "key:"
_UNKNOWN = Problem(
    code=AdminCode.INVALID_QUERY, mistakes=(("topic", "must be me, overview or key: and a key id"),)
)


class Streams:
    """Answers who wants to watch something."""

    def __init__(self, hub: Hub, doorkeeper: Doorkeeper, views: KeyViews, operators: Operators) -> None:
        self._hub = hub
        self._doorkeeper = doorkeeper
        self._views = views
        self._operators = operators

    def route(self, path: str) -> Route:
        """Return the one route."""
        return Route(path, self.respond, methods=["GET"])

    async def respond(self, request: Request) -> Response:
        """Answer one request, for as long as it takes."""
        topic = request.query_params.get("topic", "")
        try:
            who = await self._doorkeeper.signed_in(request, in_use=False)
            found = who if isinstance(who, Problem) else await self._watch(topic, who)
        except ExtauthError as error:
            who = found = problem_of(error)
        if isinstance(who, Problem) or isinstance(found, Problem):
            return ProblemResponse(found if isinstance(found, Problem) else _UNKNOWN)
        viewer = Viewer(who.session.session_id, who.key.user_id)
        if not self._hub.has_room(viewer):
            return ProblemResponse(Problem(code=AdminCode.TOO_MANY_STREAMS, headers={"retry-after": "10"}))
        if request.method == "HEAD":
            return Response(media_type=_MEDIA_TYPE, headers=NO_STORE)
        current = partial(self._current, request, topic, found)
        return _EventStream(self._hub.stream(viewer, current))

    async def _current(self, request: Request, topic: str, last: Watch) -> Watch | None:
        """Return what is still to be shown: the session, the key and its scopes may have changed."""
        try:
            who = await self._doorkeeper.signed_in(request, in_use=False)
            found = who if isinstance(who, Problem) else await self._watch(topic, who)
        except NotFoundError:
            return None
        except StoreError:
            # Nobody can tell. Nothing new is read from the store meanwhile either.
            return last
        return None if isinstance(found, Problem) else found

    async def _watch(self, topic: str, who: SignedIn) -> Watch | Problem:
        """Return what is watched. Raises NotFoundError and StoreError."""
        key = who.key
        if topic == "me":
            return Watch(f"user:{key.user_id}", partial(self._views.of_user, key.user_id))
        if topic == "overview":
            if not is_operator(key):
                return FOR_OPERATORS
            return Watch(topic, self._operators.look, partial(seen_by, key))
        key_id = topic.removeprefix(_KEY)
        if key_id == topic or KEY_ID.fullmatch(key_id) is None:
            return _UNKNOWN
        is_own = await owns(self._views.services.service, key, key_id)
        if not is_own and not holds(key, KEYS_READ):
            return Problem(code=AdminCode.KEY_NOT_FOUND)
        show = partial(_seen_of_key, key, is_own=is_own)
        return Watch(topic, partial(self._views.of_key, key_id), show)


def _seen_of_key(viewer: ApiKey, seen: Seen, *, is_own: bool) -> Seen:
    """Return what of a key its owner sees, and what scopes let others see."""
    shown = seen if holds(viewer, KEYS_READ) else {**seen, "limits": without_shadow(seen["limits"])}
    return shown if is_own or holds(viewer, USAGE_READ) else {**shown, "hour": None, "refusals": None}


_MEDIA_TYPE = "text/event-stream"


class _EventStream(StreamingResponse):
    """Events on their way out; whoever has left is noticed at once."""

    def __init__(self, events: AsyncGenerator[bytes, None]) -> None:
        self._events = events
        # A proxy in front must not keep events back.
        headers = {**NO_STORE, "x-accel-buffering": "no"}
        super().__init__(events, headers=headers, media_type=_MEDIA_TYPE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            # A viewer who left between two events is let go of now, not when the memory is cleared up.
            await self._events.aclose()
