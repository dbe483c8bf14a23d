"""Who may ask the dashboard: whoever is signed in, for what their key may do, from the dashboard's own pages.

These are gates as the admin API has one, so that its endpoints can be asked in a session too.
"""

from __future__ import annotations

import contextlib
import ipaddress
from dataclasses import dataclass
from datetime import timedelta

from starlette.requests import Request

from extauth.admin.access import client_address, holds
from extauth.admin.problems import AdminCode, Problem
from extauth.dashboard.csrf import SAFE_METHODS, TOKEN_HEADER, is_from_elsewhere
from extauth.dashboard.rights import is_operator
from extauth.dashboard.sessions import Session, Sessions
from extauth.keys.asked import Actor
from extauth.keys.service import KeyService
from extauth.model import ApiKey
from extauth.settings.model import Settings

# Where the wrapper of all answers finds the line that renews a cookie.
RENEWAL = "extauth.dashboard.renewal"
_PLAIN_COOKIE = "extauth_session"
_SECURE_COOKIE = "__Host-extauth_session"
NOT_SIGNED_IN = Problem(
    code=AdminCode.NO_SESSION, headers={"www-authenticate": 'Session realm="extauth dashboard"'}
)
FROM_ELSEWHERE = Problem(code=AdminCode.CROSS_SITE)
FOR_OPERATORS = Problem(
    code=AdminCode.INSUFFICIENT_SCOPE, detail="The key that you are signed in with is no operator's."
)
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedIn(Actor):
    """Who is signed in, with the record of their key. `secure` says that their requests came by TLS."""

    key: ApiKey
    session: Session
    secure: bool

    @classmethod
    def of(cls, key: ApiKey, session: Session, *, source: str, secure: bool) -> SignedIn:
        """Make one of the key that they have shown."""
        return cls(
            name=f"key:{key.key_id}",
            source=source,
            scopes=key.scopes,
            key=key,
            session=session,
            secure=secure,
        )


class Doorkeeper:
    """Tells who is signed in, and writes the cookies. Goes by the settings that were given last."""

    def __init__(self, sessions: Sessions, settings: Settings) -> None:
        self.sessions = sessions
        self._settings = settings

    def go_by(self, settings: Settings) -> None:
        """Go by these settings from now on."""
        self._settings = settings
        self.sessions.rules = settings.dashboard

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self._settings

    async def signed_in(self, request: Request, *, in_use: bool = True) -> SignedIn | Problem:
        """Return who is signed in, and for a change whether their own pages ask for it. Raises StoreError.

        A request that is `in_use` of the session keeps it from being idle.
        """
        secure, address = self.is_secure(request), self.address_of(request)
        text = _only_cookie(request, _SECURE_COOKIE if secure else _PLAIN_COOKIE)
        found = None if text is None else await self.sessions.resume(text, address)
        if found is None:
            return NOT_SIGNED_IN
        session, caller = found
        if request.method not in SAFE_METHODS:
            token = request.headers.get(TOKEN_HEADER, "")
            if is_from_elsewhere(request) or not self.sessions.codec.is_token(session, token):
                return FROM_ELSEWHERE
        key = caller.key
        if in_use and (renewed := self.sessions.renewed(session)):
            request.scope[RENEWAL] = self.cookie(renewed, secure=secure)
        return SignedIn.of(key, session, source=address, secure=secure)

    def cookie(self, session: Session | None, *, secure: bool) -> str:
        """Return the line that sets the cookie, without a session the one that takes it away."""
        value = "" if session is None else self.sessions.codec.write(session)
        age = 0 if session is None else self.sessions.rules.idle_timeout // _SECOND
        plain, bound = (
            f"{_PLAIN_COOKIE}={value}; Path=/dashboard/",
            f"{_SECURE_COOKIE}={value}; Path=/; Secure",
        )
        return f"{bound if secure else plain}; Max-Age={age}; HttpOnly; SameSite=Strict"

    def is_secure(self, request: Request) -> bool:
        """Tell whether the browser speaks TLS, as far as that can be known."""
        if request.url.scheme == "https":
            return True
        said = request.headers.get("x-forwarded-proto", "")
        return self._settings.dashboard.behind_proxy and said.rpartition(",")[2].strip().lower() == "https"

    def address_of(self, request: Request) -> str:
        """Return where a request comes from; behind a proxy, what the trusted hops say."""
        if self._settings.dashboard.behind_proxy:
            hops = ",".join(request.headers.getlist("x-forwarded-for")).split(",")
            said = hops[-min(self._settings.proxy.trusted_hops, len(hops))].strip()
            with contextlib.suppress(ValueError):
                return str(ipaddress.ip_address(said))
        return client_address(request)


class SessionGate:
    """Admits whoever is signed in with a key that holds the scope. See `admin.access.Gate`.

    What needs no scope in particular is for operators all the same.
    """

    def __init__(self, doorkeeper: Doorkeeper) -> None:
        self._doorkeeper = doorkeeper

    async def admit(self, request: Request, needed: str) -> SignedIn | Problem:
        """Return who is signed in. See `Gate`."""
        found = await self._doorkeeper.signed_in(request)
        if isinstance(found, Problem):
            return found
        if holds(found.key, needed) if needed else is_operator(found.key):
            return found
        if not needed:
            return FOR_OPERATORS
        detail = f"The key that you are signed in with lacks the scope {needed}."
        return Problem(code=AdminCode.INSUFFICIENT_SCOPE, detail=detail)


class OwnerGate:
    """Admits whoever is signed in to what belongs to their user; no key of others exists for them."""

    def __init__(self, doorkeeper: Doorkeeper, service: KeyService) -> None:
        self._doorkeeper = doorkeeper
        self._service = service

    async def admit(self, request: Request, needed: str) -> SignedIn | Problem:  # noqa: ARG002 - of the protocol
        """Return who is signed in. See `Gate`; NotFoundError is raised too."""
        found = await self._doorkeeper.signed_in(request)
        key_id = request.path_params.get("key_id")
        if isinstance(found, Problem) or key_id is None:
            return found
        return (
            found if await owns(self._service, found.key, key_id) else Problem(code=AdminCode.KEY_NOT_FOUND)
        )


async def owns(service: KeyService, key: ApiKey, key_id: str) -> bool:
    """Tell whether a key is of the same user as the one that is shown. Raises NotFoundError."""
    return (await service.get(key_id)).user_id == key.user_id


def _only_cookie(request: Request, name: str) -> str | None:
    """Return the cookie of that name. Of two, one was set by somebody else: nobody can tell which."""
    pairs = (pair.partition("=") for line in request.headers.getlist("cookie") for pair in line.split(";"))
    found = [value.strip() for key, _, value in pairs if key.strip() == name]
    return found[0] if len(found) == 1 else None
