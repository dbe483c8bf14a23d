"""Who may use the admin API: holders of extauth's own keys with the scopes that it asks for.

Nothing about a request is looked at before this has admitted it, so that nobody else can learn what exists.
"""

from __future__ import annotations

from typing import Protocol

from starlette.requests import Request

from extauth.admin.authentication import NO_KEY, TWO_KEYS, Authenticator
from extauth.admin.problems import AdminCode, Problem
from extauth.callers import Caller
from extauth.keys.asked import Actor
from extauth.keys.directory import Rejection
from extauth.keys.scopes import ADMIN, ScopeSet
from extauth.model import ApiKey

# What the audit log calls whoever comes through a unix socket.
UNIX_SOCKET = "unix"


class Gate(Protocol):
    """Lets in who may ask."""

    async def admit(self, request: Request, needed: str) -> Actor | Problem:
        """Return who is calling, if they hold the scope. Raises StoreError and OverloadedError."""
        ...


class KeyGate:
    """Admits callers that show a key. See `Gate`."""

    def __init__(self, authenticator: Authenticator, *, realm: str) -> None:
        self._authenticator = authenticator
        self._challenge = f'Bearer realm="{realm}"'

    async def admit(self, request: Request, needed: str) -> Actor | Problem:
        """Return who is calling. See `Gate`."""
        address = client_address(request)
        found = await self._caller(request, address)
        if isinstance(found, Rejection):
            return self._unknown(found, address)
        key = found.key
        if not holds(key, needed):
            challenge = f'{self._challenge}, error="insufficient_scope", scope="{needed}"'
            return Problem(code=AdminCode.INSUFFICIENT_SCOPE, headers={"www-authenticate": challenge})
        return Actor(name=f"key:{key.key_id}", source=address, scopes=key.scopes)

    def _unknown(self, rejection: Rejection, address: str) -> Problem:
        self._authenticator.refuse(rejection, address, "admin_login_failed")
        if rejection.retry_after:
            return cooling_down(rejection)
        if rejection is NO_KEY:
            return Problem(code=AdminCode.MISSING_KEY, headers={"www-authenticate": self._challenge})
        challenge = f'{self._challenge}, error="invalid_token"'
        return Problem(code=AdminCode.INVALID_KEY, headers={"www-authenticate": challenge})

    async def _caller(self, request: Request, address: str) -> Caller | Rejection:
        lines = request.headers.getlist("authorization")
        if len(lines) > 1:
            return TWO_KEYS
        scheme, credential = (*"".join(lines).split(None, 1), "", "")[:2]
        text = credential.strip().encode("latin-1") if scheme.lower() == "bearer" else b""
        return await self._authenticator.by_text(text, address)


def holds(key: ApiKey, needed: str) -> bool:
    """Tell whether a key has a scope of the admin API."""
    return ADMIN in key.scopes or ScopeSet(key.scopes).covers(needed)


def cooling_down(rejection: Rejection) -> Problem:
    """Return what somebody is told who has to wait before any key of theirs is looked at."""
    return Problem(code=AdminCode.COOLING_DOWN, headers={"retry-after": str(rejection.retry_after)})


def client_address(request: Request) -> str:
    """Return the address of whoever is connected. Headers don't count: anybody can write them."""
    return request.client.host if request.client is not None and request.client.host else UNIX_SOCKET
