"""Hands on to all servers who is banned here, and learns from them who is banned there: off the hot path."""

from __future__ import annotations

import asyncio
import secrets

import structlog

from extauth.abuse.monitor import AbuseMonitor, seconds_left
from extauth.clock import MICROSECONDS, Clock
from extauth.errors import StoreError
from extauth.stores.bans import Ban, Origin
from extauth.stores.base import KeyStore

# A ban that an operator orders is in force within a second, also where one look comes late.
LOOK_EVERY_SECONDS = 0.25
# How often a process says who fails most in it, and of how many addresses and key ids each.
_OFFENDERS_EVERY_US = 5 * MICROSECONDS
_MOST_OFFENDERS = 100


class BanKeeper:
    """Keeps a monitor's bans and the store's the same.

    While the store doesn't answer, bans hold as they were known last, and those that begin hold here; they
    are written once it answers again.
    """

    def __init__(self, store: KeyStore, monitor: AbuseMonitor, clock: Clock) -> None:
        self._store = store
        self._monitor = monitor
        self._clock = clock
        self._log = structlog.get_logger("extauth.abuse")
        self._process = secrets.token_hex(8)
        self._revision = ""
        # Bans that began here: those that no store has yet, and those whose end is to be told of here.
        self._unwritten: dict[str, Ban] = {}
        self._own: set[str] = set()
        self._told_us = 0
        self._trouble = ""

    async def look(self) -> None:
        """Forget what is over, write what is new here, learn what is new elsewhere."""
        self._hear()
        self._forget_ended()
        try:
            await self._write()
            await self._read()
            await self._tell()
        except Exception as error:  # noqa: BLE001 - whatever it is, the next look must come
            self._report(str(error) if isinstance(error, StoreError) else repr(error))
        else:
            self._report("")

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_SECONDS)
            await self.look()

    async def close(self) -> None:
        """Write the rest."""
        await self.look()

    def _hear(self) -> None:
        """Take the bans that have begun here."""
        begun, self._monitor.begun = self._monitor.begun, []
        for ban in begun:
            self._unwritten[ban.subject] = ban
            self._own.add(ban.subject)
            self._log.warning("ban_began", **self._fields(ban), seconds=seconds_left(ban, ban.began_us))

    async def _write(self) -> None:
        if not self._unwritten:
            return
        writing = list(self._unwritten.values())
        await self._store.note_bans(writing)
        for ban in writing:
            if self._unwritten.get(ban.subject) is ban:
                del self._unwritten[ban.subject]

    async def _read(self) -> None:
        found = await self._store.bans(self._revision)
        if found is None:
            return
        self._revision = found.revision
        now_us = self._clock.now_us()
        known = self._monitor.in_force
        bans = {ban.subject: ban for ban in found.bans if now_us < ban.ends_us}
        # What has begun while this was on its way is not among it.
        for ban in (*self._unwritten.values(), *self._monitor.begun):
            held = bans.get(ban.subject)
            if held is None or held.yields_to(ban):
                bans[ban.subject] = ban
        new = [ban for ban in bans.values() if known.get(ban.subject) != ban]
        lifted = [ban for ban in known.values() if ban.subject not in bans and now_us < ban.ends_us]
        # In place: checks hold on to the dictionary itself.
        for ban in lifted:
            del known[ban.subject]
            self._monitor.forgive(ban.subject)
            self._end("ban_lifted", ban)
        known.update(bans)
        self._monitor.learn(new)
        for ban in new:
            if ban.origin is Origin.MANUAL:
                self._own.discard(ban.subject)
                self._log.warning("ban_began", **self._fields(ban), seconds=seconds_left(ban, now_us))

    async def _tell(self) -> None:
        """Say who fails most here, again and again: what was said long ago counts no more."""
        now_us = self._clock.now_us()
        if 0 <= now_us - self._told_us < _OFFENDERS_EVERY_US:
            return
        if worst := self._monitor.worst(_MOST_OFFENDERS, now_us):
            await self._store.note_offenders(self._process, worst, now_us)
        self._told_us = now_us

    def _forget_ended(self) -> None:
        now_us = self._clock.now_us()
        known = self._monitor.in_force
        for ban in [ban for ban in known.values() if now_us >= ban.ends_us]:
            del known[ban.subject]
            if self._unwritten.get(ban.subject) is ban:
                del self._unwritten[ban.subject]
            self._end("ban_ended", ban)

    def _end(self, event: str, ban: Ban) -> None:
        """Tell of an end: of an automatic ban only where it began, so that not every process tells it."""
        if ban.subject in self._own or ban.origin is Origin.MANUAL:
            self._own.discard(ban.subject)
            self._log.info(event, **self._fields(ban))

    @staticmethod
    def _fields(ban: Ban) -> dict[str, str]:
        return {"subject": ban.subject, "origin": ban.origin.value, "reason": ban.reason, "actor": ban.actor}

    def _report(self, trouble: str) -> None:
        """Tell once of a store that doesn't answer, not at each look."""
        if trouble and not self._trouble:
            self._log.warning("bans_not_shared", problem=trouble)
        self._trouble = trouble
