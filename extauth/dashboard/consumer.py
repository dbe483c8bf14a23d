"""What consumers see and do: their own keys, how their limits stand, what was refused and why.

The gate lets nobody at a key of another user, so that nothing here has to ask whose it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from extauth.admin.endpoint import Answer, Call, Endpoint, Services
from extauth.admin.keys import show
from extauth.admin.models import Asked, NoParameters, PageQuery, RevocationBody, RotationBody
from extauth.admin.problems import AdminCode, Problem
from extauth.admin.usage import list_refusals, question_of
from extauth.admin.usage_models import UsageQuery
from extauth.dashboard.access import Doorkeeper, SignedIn, owns
from extauth.dashboard.overview import KeyViews, without_shadow
from extauth.dashboard.rights import may
from extauth.keys.asked import NewKey
from extauth.keys.views import public
from extauth.settings.values import Duration
from extauth.stores.base import KeyFilter


class OwnKeyBody(Asked):
    """A key that a consumer wants; all else follows from the key that they are signed in with."""

    stand_ins: ClassVar[Mapping[str, object]] = {"name": ""}

    name: str
    scopes: tuple[str, ...] = ()
    environment: str | None = None
    expires_in: Duration | None = None


class Consumer:
    """The operations below `/dashboard/api/me`."""

    def __init__(self, doorkeeper: Doorkeeper, views: KeyViews) -> None:
        self._doorkeeper = doorkeeper
        self._views = views

    def endpoints(self) -> Sequence[Endpoint]:
        """Return the table of them."""
        key = "/keys/{key_id}"
        return (
            _endpoint("showOwn", "GET", "/overview", self.overview, NoParameters),
            _endpoint("listOwnKeys", "GET", "/keys", self.list_keys, PageQuery),
            _endpoint("createOwnKey", "POST", "/keys", self.create, OwnKeyBody, judged=True),
            _endpoint("showOwnKey", "GET", key, show, NoParameters),
            _endpoint("rotateOwnKey", "POST", f"{key}/rotate", self.rotate, RotationBody, judged=True),
            _endpoint("revokeOwnKey", "POST", f"{key}/revoke", self.revoke, RevocationBody, judged=True),
            _endpoint("showOwnLimits", "GET", f"{key}/limits", self.limits, NoParameters),
            _endpoint("listOwnRefusals", "GET", f"{key}/refusals", list_refusals, NoParameters),
            _endpoint("showOwnUsage", "GET", "/usage", self.usage, UsageQuery),
        )

    async def overview(self, _services: Services, call: Call[NoParameters]) -> Answer:
        """Show how all of it stands."""
        return Answer(body=await self._views.of_user(_who(call).key.user_id))

    async def list_keys(self, services: Services, call: Call[PageQuery]) -> Answer:
        """Show a page of keys."""
        wanted = KeyFilter(user_id=_who(call).key.user_id)
        page = await services.service.list(wanted, cursor=call.asked.cursor, limit=call.asked.limit)
        return Answer(body={"keys": [public(key) for key in page.keys], "next_cursor": page.next_cursor})

    async def create(self, services: Services, call: Call[OwnKeyBody]) -> Answer | Problem:
        """Make a key like the one that they are signed in with: for its user, under its limits."""
        who, asked = _who(call), call.asked
        if not self._may(who, "create"):
            return _OFF
        new = NewKey(
            user_id=who.key.user_id,
            name=asked.name,
            tier=who.key.tier,
            environment=services.default_environment if asked.environment is None else asked.environment,
            scopes=asked.scopes,
            lifetime=asked.expires_in,
            # Else whoever has tighter limits of their own would have a key without them.
            limits=who.key.limits,
        )
        made = await services.service.create(new, who, misread=call.misread)
        return Answer(
            status=201, body={"key": made.text, "record": public(made.record)}, key_id=made.record.key_id
        )

    async def rotate(self, services: Services, call: Call[RotationBody]) -> Answer | Problem:
        """Replace a key; the session goes on with the new one where it was begun with the old one."""
        who = _who(call)
        if not self._may(who, "rotate"):
            return _OFF
        made = await services.service.rotate(call.key_id, who, grace=call.asked.grace, misread=call.misread)
        headers = {}
        if call.key_id == who.key.key_id:
            session = who.session._replace(key_id=made.record.key_id)
            headers = {"set-cookie": self._doorkeeper.cookie(session, secure=who.secure)}
        old = public(await services.service.get(call.key_id))
        body = {"key": made.text, "record": public(made.record), "old": old}
        return Answer(status=201, body=body, headers=headers, key_id=made.record.key_id)

    async def revoke(self, services: Services, call: Call[RevocationBody]) -> Answer | Problem:
        """End a key for good, and with it all sessions that were begun with it."""
        who = _who(call)
        if not self._may(who, "revoke"):
            return _OFF
        service, reason = services.service, call.asked.reason
        return Answer(
            body=public(await service.revoke(call.key_id, who, reason=reason, misread=call.misread))
        )

    async def limits(self, services: Services, call: Call[NoParameters]) -> Answer:
        """Show how the limits of a key stand that refuse anybody."""
        return Answer(body=without_shadow((await services.limits.look(call.key_id)).plain()))

    async def usage(self, services: Services, call: Call[Asked]) -> Answer | Problem:
        """Show what their keys have used, all of them unless one is named."""
        who, question = _who(call).key, question_of(call.asked)
        if question.user_id not in {None, who.user_id}:
            return Problem(code=AdminCode.KEY_NOT_FOUND)
        if question.key_id is None:
            question = replace(question, user_id=who.user_id)
        elif not await owns(services.service, who, question.key_id):
            return Problem(code=AdminCode.KEY_NOT_FOUND)
        return Answer(body=(await services.usage.report(question)).plain())

    def _may(self, who: SignedIn, what: str) -> bool:
        return may(who.key, self._doorkeeper.settings.dashboard.self_service)[what]


_OFF = Problem(code=AdminCode.SELF_SERVICE_OFF)


def _endpoint(
    name: str, method: str, path: str, act: Any, asked: type[Asked], *, judged: bool = False
) -> Endpoint:
    # Whoever is signed in may ask all of it, and nobody reads documentation of it.
    return Endpoint(
        name=name,
        method=method,
        path=path,
        scope="",
        summary="",
        act=act,
        asked=asked,
        answers={},
        needs_body=asked is OwnKeyBody,
        judged=judged,
    )


def _who(call: Call[Any]) -> SignedIn:
    assert isinstance(call.by, SignedIn)
    return call.by
