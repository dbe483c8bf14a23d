"""What operators do about bans: the admin API and the command line both call this, never a store."""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from extauth.clock import Clock, from_us
from extauth.keys.asked import ALL_READ, Actor, Misread
from extauth.keys.rules import HOLDS_A_KEY, LONGEST_USER_ID, reason_mistakes, refuse
from extauth.keys.token import mask_keys
from extauth.keys.views import plain
from extauth.limits.plan import subject_of_address
from extauth.stores.bans import Ban, Offender, Origin
from extauth.stores.base import AuditEntry, KeyStore

_KEY_ID = re.compile(r"[0-9A-Za-z]{1,64}")
_USER_ID = re.compile(rf"[!-~]{{1,{LONGEST_USER_ID}}}")
# The one length of an IPv6 network that can be banned: what one customer has.
_CUSTOMER_BITS = 64
_WHOM = "write an address such as 192.0.2.7 or 2001:db8::/64, key:KEY_ID or user:USER_ID"


class BanService:
    """Shows, begins and ends bans. Every method may raise StoreError."""

    def __init__(self, store: KeyStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def list(self) -> Sequence[Ban]:
        """Return the bans that hold, the ones that end last first."""
        found = await self._store.bans()
        now_us = self._clock.now_us()
        bans = [ban for ban in (found.bans if found is not None else ()) if now_us < ban.ends_us]
        return sorted(bans, key=lambda ban: (-ban.ends_us, ban.subject))

    async def add(
        self, whom: str, lasts: timedelta, by: Actor, *, reason: str = "", misread: Misread = ALL_READ
    ) -> Ban:
        """Refuse everything of an address, a key or a user; in place of a ban that they have.

        Raises InvalidInputError that names every mistake.
        """
        subject, mistakes = _read(whom)
        refuse([*mistakes, *reason_mistakes(reason)], misread)
        now_us = self._clock.now_us()
        ends_us = now_us + lasts // timedelta(microseconds=1)
        ban = Ban(subject, Origin.MANUAL, now_us, ends_us, reason, by.name)
        await self._store.ban(ban, self._entry(by, "ban.added", ban))
        return ban

    async def lift(self, which: str, by: Actor) -> Ban | None:
        """End a ban, named by its id or its subject; return what ended, None where there is no such ban."""
        subject, _ = _read(which)
        for ban in await self.list():
            if which == ban.ban_id or ban.subject in {which, subject}:
                lifted = await self._store.lift(ban.subject, self._entry(by, "ban.lifted", ban))
                return ban if lifted else None
        return None

    async def offenders(self, most: int) -> Sequence[Offender]:
        """Return who failed to authenticate most often lately, on all servers together."""
        found: dict[str, Offender] = {}
        for said in await self._store.offenders(self._clock.now_us()):
            known = found.get(said.subject)
            found[said.subject] = said if known is None else _together(known, said)
        return sorted(found.values(), key=lambda offender: (-offender.failures, offender.subject))[:most]

    def _entry(self, by: Actor, action: str, ban: Ban) -> AuditEntry:
        told = {name: value for name, value in public_ban(ban).items() if name != "id"}
        kind, _, name = ban.subject.partition(":")
        began = action == "ban.added"
        return AuditEntry(
            at=from_us(self._clock.now_us()),
            actor=by.name,
            source=by.source,
            action=action,
            key_id=name if kind == "key" else "",
            before={} if began else told,
            after=told if began else {},
        )


def public_ban(ban: Ban) -> dict[str, Any]:
    """Return a ban as JSON has it."""
    return {
        "id": ban.ban_id,
        "subject": ban.subject,
        "origin": ban.origin.value,
        "began_at": plain(from_us(ban.began_us)),
        "ends_at": plain(from_us(ban.ends_us)),
        "reason": ban.reason,
        "actor": ban.actor,
    }


def public_offender(offender: Offender) -> dict[str, Any]:
    """Return an offender as JSON has it, the most frequent reason first."""
    reasons = sorted(offender.reasons.items(), key=lambda reason: (-reason[1], reason[0]))
    return {
        "subject": offender.subject,
        "failures": offender.failures,
        "last_failed_at": plain(from_us(offender.last_us)),
        "reasons": dict(reasons),
    }


def _together(one: Offender, other: Offender) -> Offender:
    """Add up what two processes say of a subject."""
    failures, last_us = one.failures + other.failures, max(one.last_us, other.last_us)
    return Offender(one.subject, failures, last_us, Counter(one.reasons) + Counter(other.reasons))


def _read(whom: str) -> tuple[str, list[tuple[str, str]]]:
    """Return the subject that is meant, and what is wrong where none is."""
    if mask_keys(whom) != whom:
        return "", [("subject", HOLDS_A_KEY)]
    kind, _, name = whom.partition(":")
    if (kind == "key" and _KEY_ID.fullmatch(name)) or (kind == "user" and _USER_ID.fullmatch(name)):
        return whom, []
    try:
        network = ipaddress.ip_network(name if kind == "ip" else whom, strict=False)
    except ValueError:
        return "", [("subject", f"is neither an address nor a key nor a user: {_WHOM}")]
    single = network.prefixlen == network.max_prefixlen
    if not single and (network.version == 4 or network.prefixlen != _CUSTOMER_BITS):  # noqa: PLR2004 - the version number of IPv4 is its name
        return "", [("subject", f"of networks only a /64 of IPv6 can be banned: {_WHOM}")]
    return subject_of_address(str(network.network_address)), []
