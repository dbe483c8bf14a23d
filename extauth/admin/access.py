"""Who may use the admin API: holders of extauth's own keys with the scopes that it asks for.

Nothing about a request is looked at before this has admitted it, so that nobody else can learn what exists.
"""

from __future__ import annotations

import structlog
from starlette.requests import Request

from extauth.abuse.monitor import AbuseMonitor, kind_of, seconds_left
from extauth.admin.problems import AdminCode, Problem
from extauth.callers import Caller
from extauth.clock import Clock
from extauth.keys.asked import Actor
from extauth.keys.directory import KeyDirectory, Rejection
from extauth.keys.scopes import ADMIN, ScopeSet
from extauth.keys.uses import UseTracker
from extauth.model import ApiKey
from extauth.stores.bans import Ban, Origin

# What the audit log calls whoever comes through a unix socket.
UNIX_SOCKET = "unix"


class Gate:
    """Admits callers. Keys that are no good count against the address that they come from, as in checks."""

    def __init__(
        self,
        *,
        keys: KeyDirectory[Caller],
        uses: UseTracker,
        clock: Clock,
        realm: str,
        abuse: AbuseMonitor,
    ) -> None:
        self._keys = keys
        self._uses = uses
        self._clock = clock
        self._challenge = f'Bearer realm="{realm}"'
        self._abuse = abuse
        self._log = structlog.get_logger("extauth.admin")

    async def admit(self, request: Request, needed: str) -> Actor | Problem:
        """Return who is calling, if they hold the scope. Raises StoreError and OverloadedError."""
        address = client_address(request)
        found = await self._caller(request, address)
        if isinstance(found, Rejection):
            return self._unknown(found, address)
        key = found.key
        self._note_use(key, address)
        if ADMIN not in key.scopes and not ScopeSet(key.scopes).covers(needed):
            challenge = f'{self._challenge}, error="insufficient_scope", scope="{needed}"'
            return Problem(code=AdminCode.INSUFFICIENT_SCOPE, headers={"www-authenticate": challenge})
        return Actor(name=f"key:{key.key_id}", source=address, scopes=key.scopes)

    def _unknown(self, rejection: Rejection, address: str) -> Problem:
        reason, key_id, wait = rejection
        self._log.warning("admin_login_failed", reason=reason, client_ip=address, key_id=key_id)
        if wait:
            return Problem(code=AdminCode.COOLING_DOWN, headers={"retry-after": str(wait)})
        if rejection is _NO_KEY:
            return Problem(code=AdminCode.MISSING_KEY, headers={"www-authenticate": self._challenge})
        if rejection is not _TWO_KEYS:
            self._abuse.failed(address, reason, self._clock.now_us())
        challenge = f'{self._challenge}, error="invalid_token"'
        return Problem(code=AdminCode.INVALID_KEY, headers={"www-authenticate": challenge})

    async def _caller(self, request: Request, address: str) -> Caller | Rejection:
        lines = request.headers.getlist("authorization")
        if len(lines) > 1:
            return _TWO_KEYS
        scheme, credential = (*"".join(lines).split(None, 1), "", "")[:2]
        text = credential.strip().encode("latin-1") if scheme.lower() == "bearer" else b""
        now_us = self._clock.now_us()
        ban = self._abuse.of_address(address, now_us)
        if ban is not None and not (
            ban.origin is Origin.AUTOMATIC and text and self._keys.is_good(text, now_us)
        ):
            return self._banned(ban)
        if not text:
            return _NO_KEY
        found = self._keys.recall(text)
        if found is None:
            found = await self._keys.identify(text, address=address)
        if isinstance(found, Rejection):
            return found
        if ban := self._abuse.of_key(found.key, self._clock.now_us()):
            return self._banned(ban, found.key.key_id)
        reason = found.refusal(self._clock.now_us())
        return Rejection(reason, found.key.key_id) if reason else found

    def _banned(self, ban: Ban, key_id: str = "") -> Rejection:
        self._abuse.refusals[kind_of(ban)] += 1
        return Rejection("banned", key_id, seconds_left(ban, self._clock.now_us()))

    def _note_use(self, key: ApiKey, address: str) -> None:
        self._uses.seen[key.key_id] = self._clock.now_us()
        if key.grace_until is not None:
            self._uses.see_in_grace(key, address)


_NO_KEY = Rejection("no key")
_TWO_KEYS = Rejection("two keys")


def client_address(request: Request) -> str:
    """Return the address of whoever is connected. Headers don't count: anybody can write them."""
    return request.client.host if request.client is not None and request.client.host else UNIX_SOCKET
