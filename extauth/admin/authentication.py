"""Whose key it is, for everything on the admin listener that asks for one; bans apply, and failures count."""

from __future__ import annotations

import structlog

from extauth.abuse.monitor import AbuseMonitor, kind_of, seconds_left
from extauth.callers import Caller
from extauth.clock import Clock
from extauth.keys.directory import KeyDirectory, Rejection
from extauth.keys.uses import UseTracker
from extauth.stores.bans import Ban, Origin

NO_KEY = Rejection("no key")
TWO_KEYS = Rejection("two keys")


class Authenticator:
    """Recognises keys. Those that are no good count against the address that they come from, as in checks."""

    def __init__(
        self, *, keys: KeyDirectory[Caller], uses: UseTracker, clock: Clock, abuse: AbuseMonitor
    ) -> None:
        self._keys = keys
        self._uses = uses
        self._clock = clock
        self._abuse = abuse
        self._log = structlog.get_logger("extauth.admin")

    async def by_text(self, text: bytes, address: str) -> Caller | Rejection:
        """Return who presents this text, empty where there is none. Raises StoreError and OverloadedError."""
        now_us = self._clock.now_us()
        ban = self._abuse.of_address(address, now_us)
        if ban is not None and not (
            ban.origin is Origin.AUTOMATIC and text and self._keys.is_good(text, now_us)
        ):
            return self._banned(ban)
        if not text:
            return NO_KEY
        found = self._keys.recall(text)
        if found is None:
            found = await self._keys.identify(text, address=address)
        found = self._usable(found)
        if isinstance(found, Caller):
            self._note_use(found, address)
        return found

    async def by_id(self, key_id: str, address: str) -> Caller | Rejection:
        """Return whose key this is, for somebody who has shown it before. Raises StoreError.

        An automatic ban of the address refuses them no more than it refuses who shows a good key.
        """
        ban = self._abuse.of_address(address, self._clock.now_us())
        if ban is not None and ban.origin is not Origin.AUTOMATIC:
            return self._banned(ban)
        return self._usable(await self._keys.current(key_id))

    def refuse(self, rejection: Rejection, address: str, event: str) -> None:
        """Log a refusal as this event, and count it as a failure where a key was shown that is no good."""
        reason, key_id, wait = rejection
        self._log.warning(event, reason=reason, client_ip=address, key_id=key_id)
        if not wait and rejection not in {NO_KEY, TWO_KEYS}:
            self._abuse.failed(address, reason, self._clock.now_us())

    def _usable(self, found: Caller | Rejection) -> Caller | Rejection:
        if isinstance(found, Rejection):
            return found
        if ban := self._abuse.of_key(found.key, self._clock.now_us()):
            return self._banned(ban, found.key.key_id)
        reason = found.refusal(self._clock.now_us())
        return Rejection(reason, found.key.key_id) if reason else found

    def _banned(self, ban: Ban, key_id: str = "") -> Rejection:
        self._abuse.refusals[kind_of(ban)] += 1
        return Rejection("banned", key_id, seconds_left(ban, self._clock.now_us()))

    def _note_use(self, caller: Caller, address: str) -> None:
        self._uses.see(caller, self._clock.now_us(), address)
