"""Who may use the admin API: holders of extauth's own keys with the scopes that it asks for.

Nothing about a request is looked at before this has admitted it, so that nobody else can learn what exists.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import structlog
from starlette.requests import Request

from extauth.admin.problems import AdminCode, Problem
from extauth.callers import Caller
from extauth.clock import Clock
from extauth.keys.asked import Actor
from extauth.keys.directory import KeyDirectory, Rejection
from extauth.keys.scopes import ADMIN, ScopeSet
from extauth.keys.uses import UseTracker
from extauth.model import ApiKey

# What the audit log calls whoever comes through a unix socket.
UNIX_SOCKET = "unix"


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedLogin:
    """A request whose caller nobody knows. `key_id` is empty where no id can be trusted."""

    reason: str
    client_address: str
    key_id: str = ""


class Gate:
    """Admits callers. `on_failed_login` hears of each who isn't known, for whoever counts such failures."""

    def __init__(
        self,
        *,
        keys: KeyDirectory[Caller],
        uses: UseTracker,
        clock: Clock,
        realm: str,
        on_failed_login: Callable[[FailedLogin], None] = lambda _failure: None,
    ) -> None:
        self._keys = keys
        self._uses = uses
        self._clock = clock
        self._challenge = f'Bearer realm="{realm}"'
        self._on_failed_login = on_failed_login
        self._log = structlog.get_logger("extauth.admin")

    async def admit(self, request: Request, needed: str) -> Actor | Problem:
        """Return who is calling, if they hold the scope. Raises StoreError and OverloadedError."""
        address = client_address(request)
        found = await self._caller(request)
        if isinstance(found, Rejection):
            failure = FailedLogin(reason=found.reason, client_address=address, key_id=found.key_id)
            return self._unknown(failure)
        key = found.key
        self._note_use(key, address)
        if ADMIN not in key.scopes and not ScopeSet(key.scopes).covers(needed):
            challenge = f'{self._challenge}, error="insufficient_scope", scope="{needed}"'
            return Problem(code=AdminCode.INSUFFICIENT_SCOPE, headers={"www-authenticate": challenge})
        return Actor(name=f"key:{key.key_id}", source=address, scopes=key.scopes)

    def _unknown(self, failure: FailedLogin) -> Problem:
        self._log.warning(
            "admin_login_failed",
            reason=failure.reason,
            client_ip=failure.client_address,
            key_id=failure.key_id,
        )
        self._on_failed_login(failure)
        if failure.reason == _NO_KEY.reason:
            return Problem(code=AdminCode.MISSING_KEY, headers={"www-authenticate": self._challenge})
        challenge = f'{self._challenge}, error="invalid_token"'
        return Problem(code=AdminCode.INVALID_KEY, headers={"www-authenticate": challenge})

    async def _caller(self, request: Request) -> Caller | Rejection:
        lines = request.headers.getlist("authorization")
        if len(lines) > 1:
            return _TWO_KEYS
        scheme, credential = (*"".join(lines).split(None, 1), "", "")[:2]
        if scheme.lower() != "bearer" or not credential:
            return _NO_KEY
        text = credential.strip().encode("latin-1")
        found = self._keys.recall(text)
        if found is None:
            found = await self._keys.identify(text)
        if isinstance(found, Caller) and (reason := found.refusal(self._clock.now_us())):
            return Rejection(reason, found.key.key_id)
        return found

    def _note_use(self, key: ApiKey, address: str) -> None:
        self._uses.seen[key.key_id] = self._clock.now_us()
        if key.grace_until is not None:
            self._uses.see_in_grace(key, address)


_NO_KEY = Rejection("no key")
_TWO_KEYS = Rejection("two keys")


def client_address(request: Request) -> str:
    """Return the address of whoever is connected. Headers don't count: anybody can write them."""
    return request.client.host if request.client is not None and request.client.host else UNIX_SOCKET
