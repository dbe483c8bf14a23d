"""Who is signed in: a signed cookie says who, since when and how long ago, and the store who has signed out.

The cookie is signed under a key that follows from the newest pepper, so every server of a store accepts it,
under any pepper that is still configured. It holds no secret of the key: only its id, whose record is read
again for each request, so that a session ends with its key.
"""

from __future__ import annotations

import base64
import hmac
import re
import secrets
from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

from extauth.admin.authentication import Authenticator
from extauth.callers import Caller
from extauth.clock import MICROSECONDS, Clock, from_us
from extauth.keys.directory import Rejection
from extauth.settings.dashboard import LONGEST_SESSION, DashboardSettings
from extauth.stores.base import Claim, KeyStore

_PURPOSE = b"extauth dashboard session"
_SESSION_ID_BYTES = 16
_COOKIE = re.compile(
    r"([0-9A-Za-z]{1,64})\.([0-9A-Za-z_-]{22})\.([0-9]{1,11})\.([0-9]{1,11})\.([0-9A-Za-z_-]{43})", re.ASCII
)
# Of the idle time-out so much may pass before the cookie is renewed: not every answer needs a new one.
_RENEW_AFTER = 1 / 20


class Session(NamedTuple):
    """One time of being signed in with a key. Times are in whole seconds since 1970."""

    session_id: str
    key_id: str
    started: int
    seen: int

    def ends(self, rules: DashboardSettings) -> int:
        """Return when it ends, however much it is used."""
        return self.started + _seconds(rules.session_lifetime)

    def is_over(self, rules: DashboardSettings, now: int) -> bool:
        """Tell whether it has ended, or was idle for too long."""
        return now >= min(self.ends(rules), self.seen + _seconds(rules.idle_timeout))

    def needs_renewal(self, rules: DashboardSettings, now: int) -> bool:
        """Tell whether its use has to be noted."""
        return now - self.seen >= _seconds(rules.idle_timeout) * _RENEW_AFTER


def _seconds(duration: timedelta) -> int:
    return duration // timedelta(seconds=1)


class SessionCodec:
    """Writes and reads cookies, and the tokens that changes must show. `peppers` are the newest first."""

    def __init__(self, peppers: Sequence[bytes]) -> None:
        self._keys = tuple(hmac.digest(pepper, _PURPOSE, "sha256") for pepper in peppers)

    def write(self, session: Session) -> str:
        """Return the value of a cookie."""
        body = f"{session.key_id}.{session.session_id}.{session.started}.{session.seen}"
        return f"{body}.{_mac(self._keys[0], 'cookie', body)}"

    def read(self, text: str) -> Session | None:
        """Return the session of a cookie that this server, or one of its store, has written."""
        match = _COOKIE.fullmatch(text)
        if match is None:
            return None
        key_id, session_id, started, seen, mac = match.groups()
        body = text.rpartition(".")[0]
        if not any(hmac.compare_digest(_mac(key, "cookie", body), mac) for key in self._keys):
            return None
        return Session(session_id, key_id, int(started), int(seen))

    def token(self, session: Session) -> str:
        """Return what each change of the session must show in X-CSRF-Token; it follows from its id."""
        return _mac(self._keys[0], "csrf", session.session_id)

    def is_token(self, session: Session, text: str) -> bool:
        """Tell whether this is such a token; the time tells nothing."""
        shown = text.encode("utf-8", "replace")
        tokens = (_mac(key, "csrf", session.session_id).encode() for key in self._keys)
        return any(hmac.compare_digest(token, shown) for token in tokens)


def _mac(key: bytes, purpose: str, text: str) -> str:
    digest = hmac.digest(key, f"{purpose}\n{text}".encode(), "sha256")
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


class Sessions:
    """Begins, resumes and ends sessions. `rules` are the settings in force."""

    def __init__(
        self,
        *,
        codec: SessionCodec,
        authenticator: Authenticator,
        store: KeyStore,
        clock: Clock,
        rules: DashboardSettings,
    ) -> None:
        self.codec = codec
        self.rules = rules
        self.authenticator = authenticator
        self._store = store
        self._clock = clock

    def begin(self, key_id: str) -> Session:
        """Begin a session of who has shown a key."""
        now = self._now()
        return Session(secrets.token_urlsafe(_SESSION_ID_BYTES), key_id, now, now)

    async def resume(self, text: str, address: str) -> tuple[Session, Caller] | None:
        """Return the session of a cookie that goes on, with its key. Raises StoreError."""
        session = self.codec.read(text)
        if session is None or session.is_over(self.rules, self._now()):
            return None
        if await self._store.claimed(_name(session)) is not None:
            return None
        found = await self.authenticator.by_id(session.key_id, address)
        return None if isinstance(found, Rejection) else (session, found)

    def renewed(self, session: Session) -> Session | None:
        """Return the session as just used, None where that needn't be noted yet."""
        now = self._now()
        return session._replace(seen=now) if session.needs_renewal(self.rules, now) else None

    async def end(self, session: Session) -> None:
        """End a session, on every server of the store. Raises StoreError."""
        now = from_us(self._clock.now_us())
        claim = Claim(fingerprint="session ended", key_id=session.key_id, at=now)
        await self._store.claim(_name(session), claim, stale_before=now - LONGEST_SESSION)

    def _now(self) -> int:
        return self._clock.now_us() // MICROSECONDS


def _name(session: Session) -> str:
    return f"session:{session.session_id}"
