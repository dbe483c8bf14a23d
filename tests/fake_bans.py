"""The part of the stand-in for a key store that keeps bans."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from extauth.stores.bans import OFFENDERS_KEPT_US, Ban, BanList, Offender
from extauth.stores.base import AuditEntry


class MemoryBans(ABC):
    """Bans in a dictionary. See `KeyStore`."""

    def __init__(self) -> None:
        self._bans: dict[str, Ban] = {}
        self._ban_changes = 0
        self._offenders: dict[str, tuple[int, Sequence[Offender]]] = {}

    @abstractmethod
    def _called(self, method: str) -> None:
        """Count a call, and fail it where calls fail."""

    @abstractmethod
    def _write(self, entry: AuditEntry) -> None:
        """Write an audit entry."""

    async def bans(self, known: str = "") -> BanList | None:
        """Return all bans. See `KeyStore`."""
        self._called("bans")
        revision = str(self._ban_changes)
        return None if known == revision else BanList(revision, tuple(self._bans.values()))

    async def ban(self, ban: Ban, entry: AuditEntry) -> None:
        """Ban a subject. See `KeyStore`."""
        self._called("ban")
        self._put_ban(ban)
        self._write(entry)

    async def note_bans(self, bans: Sequence[Ban]) -> None:
        """Keep automatic bans. See `KeyStore`."""
        self._called("note_bans")
        for ban in bans:
            if ban.subject not in self._bans or self._bans[ban.subject].yields_to(ban):
                self._put_ban(ban)

    async def lift(self, subject: str, entry: AuditEntry) -> bool:
        """End a ban. See `KeyStore`."""
        self._called("lift")
        if self._bans.pop(subject, None) is None:
            return False
        self._ban_changes += 1
        self._write(entry)
        return True

    async def note_offenders(self, process: str, offenders: Sequence[Offender], now_us: int) -> None:
        """Keep who fails most in a process. See `KeyStore`."""
        self._called("note_offenders")
        self._offenders[process] = (now_us, offenders)

    async def offenders(self, now_us: int) -> Sequence[Offender]:
        """Return who fails most. See `KeyStore`."""
        self._called("offenders")
        return [
            offender
            for at_us, said in self._offenders.values()
            if at_us > now_us - OFFENDERS_KEPT_US
            for offender in said
        ]

    def _put_ban(self, ban: Ban) -> None:
        self._ban_changes += 1
        self._bans = {held: one for held, one in self._bans.items() if one.ends_us > ban.began_us}
        self._bans[ban.subject] = ban
