"""Bans in a hash by subject, beside the audit log so that one step changes both; and who fails most."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import orjson

from extauth.errors import StoreError
from extauth.stores.bans import OFFENDERS_KEPT_US, Ban, BanList, Offender, Origin
from extauth.stores.base import AuditEntry
from extauth.stores.redis import layout, scripts
from extauth.stores.redis.fields import entry_values
from extauth.stores.redis.link import RedisLink, Sync

_BANS = (layout.BANS, layout.BAN_ENDS, layout.BAN_REVISION)
_AUDIT = (layout.AUDIT_ENTRIES, layout.AUDIT_TIMES, layout.AUDIT_LAST)
# How many bans are written in one trip.
_AT_ONCE = 200
# Nobody looks at what processes said so long ago.
_OFFENDERS_KEPT_SECONDS = 86_400


class BanLists:
    """Keeps them in Redis."""

    def __init__(self, link: RedisLink) -> None:
        self._link = link
        # By their text: of a list that is read again most is known.
        self._known: dict[str, Ban] = {}

    async def read(self, known: str) -> BanList | None:
        """Return all bans. See `KeyStore`."""
        (found,) = await self._link.read(scripts.BANS([layout.BANS, layout.BAN_REVISION], known))
        if not found:
            return None
        revision, lines = found
        # One text, because the client takes long over an answer of thousands of parts.
        texts = lines.split("\n") if lines else []
        self._known = {text: self._known.get(text) or _from_json(text) for text in texts}
        return BanList(revision, tuple(self._known.values()))

    async def ban(self, ban: Ban, entry: AuditEntry) -> None:
        """Ban a subject. See `KeyStore`."""
        keys, arguments = _audited(entry)
        await self._link.write(
            scripts.BAN([*_BANS, *keys], *_arguments(ban, replaces=True), *arguments), sync=self._sync
        )

    async def note(self, bans: Sequence[Ban]) -> None:
        """Keep automatic bans. See `KeyStore`."""
        for start in range(0, len(bans), _AT_ONCE):
            batch = bans[start : start + _AT_ONCE]
            await self._link.write(*(scripts.BAN(_BANS, *_arguments(ban, replaces=False)) for ban in batch))

    async def lift(self, subject: str, entry: AuditEntry) -> bool:
        """End a ban. See `KeyStore`."""
        keys, arguments = _audited(entry)
        lift = scripts.LIFT([*_BANS, *keys], subject, secrets.token_hex(8), *arguments)
        (lifted,) = await self._link.write(lift, sync=self._sync)
        return bool(lifted)

    async def note_offenders(self, process: str, offenders: Sequence[Offender], now_us: int) -> None:
        """Keep who fails most in a process. See `KeyStore`."""
        rows = [(*told, dict(reasons)) for *told, reasons in offenders]
        said = orjson.dumps([now_us, rows]).decode()
        await self._link.write(
            ("HSET", layout.OFFENDERS, process, said),
            ("EXPIRE", layout.OFFENDERS, _OFFENDERS_KEPT_SECONDS),
        )

    async def offenders(self, now_us: int) -> list[Offender]:
        """Return who fails most. See `KeyStore`."""
        (texts,) = await self._link.read(("HGETALL", layout.OFFENDERS))
        try:
            said = {process: orjson.loads(text) for process, text in texts.items()}
            old = [process for process, (at_us, _) in said.items() if at_us <= now_us - OFFENDERS_KEPT_US]
            found = [
                Offender(*row) for process, (_, rows) in said.items() if process not in old for row in rows
            ]
        except (TypeError, ValueError) as error:
            raise StoreError(f"who fails most can't be read: {error}") from error
        if old:
            # Processes that ended say no more, and would stay for ever.
            await self._link.write(("HDEL", layout.OFFENDERS, *old))
        return found

    @property
    def _sync(self) -> Sync:
        return Sync.STEP if self._link.is_cluster else Sync.LAST


def _arguments(ban: Ban, *, replaces: bool) -> tuple[str | int, ...]:
    text = orjson.dumps(ban._asdict()).decode()
    return ban.subject, text, ban.began_us, ban.ends_us, int(replaces), secrets.token_hex(8)


def _audited(entry: AuditEntry) -> tuple[list[str], tuple[str | int, ...]]:
    """Return the keys and arguments with which a script appends an entry."""
    keys = [*_AUDIT, *([layout.audit_of_key(entry.key_id)] if entry.key_id else [])]
    values = entry_values(entry)
    return keys, (secrets.token_hex(8), values["at"], orjson.dumps(values).decode())


def _from_json(text: str) -> Ban:
    try:
        fields = orjson.loads(text)
        return Ban(**{**fields, "origin": Origin(fields["origin"])})
    except (TypeError, ValueError, KeyError) as error:
        raise StoreError(f"a ban can't be read: {error}") from error
