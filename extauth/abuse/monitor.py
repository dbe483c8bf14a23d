"""Who fails, who is banned for it, and who is refused: what a check asks, answered from memory.

It never waits: what others have to know of it is handed on by `keeper.py`. What counts against an address is
every key that is refused with 401. Against a key id only a secret counts that argon2 had to look at, and a
ban of the id only keeps secrets from argon2 that are not known to be right; so nobody can lock out the holder
of a key by knowing its id.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network
from typing import NamedTuple

from extauth.abuse.allowed import AllowedAddresses
from extauth.abuse.budgets import Budget, FailureBudgets
from extauth.bounded import BoundedCache, Memo
from extauth.clock import MICROSECONDS
from extauth.model import ApiKey
from extauth.stores.bans import Ban, Offender, Origin

# How many bans there may be before no further one begins by itself: each process reads all of them again when
# one has come, and all that a ban saves is the hashing of a text that is no key.
MOST_BANS = 2_000
# How often argon2 compares a secret for a banned key id: of all who ask, and of one address. So whoever holds
# the key gets in at their next try, also while somebody tries wrong secrets from elsewhere all the time. For
# a banned address keys that are not known yet are looked up as often: all of them together, and each.
_TRY_EVERY_US = MICROSECONDS
_ONE_TRIES_EVERY_US = 10 * MICROSECONDS
_REMEMBERED = 10_000
_ADDRESS = "ip:"
_KEY = "key:"
_USER = "user:"
KINDS = ("ip", "key", "user")
# Why keys are refused with 401: what `Rejection.reason` and `Caller.refusal` say.
GUESSED = "wrong secret"
REASONS = (
    "malformed", "tag does not fit", "unknown key id", "unknown key", GUESSED, "revoked", "disabled",
    "expired", "rotated",
)  # fmt: skip
_AUTOMATIC = Origin.AUTOMATIC


class AbuseRules(NamedTuple):
    """What the settings say. Without `enabled` only operators ban.

    Addresses of `allow` have no budget, and no automatic ban refuses them.
    """

    per_address: Budget
    per_key: Budget
    allow: tuple[IPv4Network | IPv6Network, ...] = ()
    enabled: bool = True


_NO_BUDGET = Budget(1, 1, 1, 1)
NO_RULES = AbuseRules(per_address=_NO_BUDGET, per_key=_NO_BUDGET, enabled=False)


class AbuseMonitor:
    """Counts failures and knows who is banned. One for each process; it outlives a change of the settings.

    `in_force` are the bans by subject, those that are over may be among them. It is one object for good, so
    that whether there is any ban at all costs one look. `begun` are bans that began here by themselves and of
    which nobody was told yet.
    """

    def __init__(self, rules: AbuseRules) -> None:
        self.in_force: dict[str, Ban] = {}
        self.begun: list[Ban] = []
        # By the reason of the refusal, and by the kind of subject that is banned: both are closed sets.
        self.failures = dict.fromkeys(REASONS, 0)
        self.refusals = dict.fromkeys(KINDS, 0)
        self._rules = rules
        self._per_address = FailureBudgets(rules.per_address)
        self._per_key = FailureBudgets(rules.per_key)
        self._tries: BoundedCache[tuple[str, str], int] = BoundedCache(_REMEMBERED)
        self._subjects = self._reader_of(rules)

    def go_by(self, rules: AbuseRules) -> None:
        """Go by these rules from now on; what was counted stays, and so do bans."""
        self._rules = rules
        self._per_address.go_by(rules.per_address)
        self._per_key.go_by(rules.per_key)
        self._subjects = self._reader_of(rules)

    @staticmethod
    def _reader_of(rules: AbuseRules) -> Memo[str, tuple[str, bool]]:
        read = AllowedAddresses(rules.allow).read
        return Memo(read, _REMEMBERED, worth_keeping=lambda address: len(address) <= _LONGEST_ADDRESS)

    def failed(self, address: str, reason: str, now_us: int) -> None:
        """Count a refused key against the address that it came from."""
        self.failures[reason] = self.failures.get(reason, 0) + 1
        if self._rules.enabled:
            subject, allowed = self._subjects[address]
            if subject and not allowed:
                self._count(self._per_address, subject, reason, now_us)

    def wrong_secret(self, key_id: str, now_us: int) -> None:
        """Count a secret against a key id: its tag fits, and argon2 found that it is another."""
        if self._rules.enabled:
            self._count(self._per_key, _KEY + key_id, GUESSED, now_us)

    def _count(self, budgets: FailureBudgets, subject: str, reason: str, now_us: int) -> None:
        ends_us = budgets.fail(subject, reason, now_us)
        if ends_us and len(self.in_force) < MOST_BANS:
            ban = Ban(subject, _AUTOMATIC, now_us, ends_us)
            held = self.in_force.get(subject)
            if held is None or held.yields_to(ban):
                self.in_force[subject] = ban
                self.begun.append(ban)

    def of_address(self, address: str, now_us: int) -> Ban | None:
        """Return the ban of an address."""
        subject, allowed = self._subjects[address]
        ban = self._ban(subject, now_us)
        return None if ban is None or (allowed and ban.origin is _AUTOMATIC) else ban

    def of_key(self, key: ApiKey, now_us: int) -> Ban | None:
        """Return the operator's ban of a key or of its user; all others let its holder pass."""
        for subject in (_KEY + key.key_id, _USER + key.user_id):
            ban = self._ban(subject, now_us)
            if ban is not None and ban.origin is not _AUTOMATIC:
                return ban
        return None

    def _ban(self, subject: str, now_us: int) -> Ban | None:
        ban = self.in_force.get(subject)
        if ban is None or now_us >= ban.ends_us or (ban.origin is _AUTOMATIC and not self._rules.enabled):
            return None
        return ban

    def wait_to_try(self, key_id: str, address: str, now_us: int) -> int:
        """Return 0 where argon2 may compare a secret for this key, else after how many seconds it may."""
        ban = self._ban(_KEY + key_id, now_us) if self.in_force else None
        if ban is None:
            return 0
        if ban.origin is not _AUTOMATIC:
            return seconds_left(ban, now_us)
        subject, _ = self._subjects[address]
        return self._take_turn((key_id, ""), (key_id, subject or address), now_us)

    def wait_to_look(self, ban: Ban, key_id: str, now_us: int) -> int:
        """Return 0 where a key may be looked up although its address is banned, else after how many seconds.

        Its tag fits, so whoever sends it needn't be the one who failed there.
        """
        wait = self._take_turn((ban.subject, ""), (ban.subject, key_id), now_us)
        return min(wait, seconds_left(ban, now_us))

    def _take_turn(self, by_all: tuple[str, str], by_one: tuple[str, str], now_us: int) -> int:
        """Return 0 for one whose turn it is, else after how many seconds it may try."""
        waits_us = (
            self._waits_us(by_all, _TRY_EVERY_US, now_us),
            self._waits_us(by_one, _ONE_TRIES_EVERY_US, now_us),
        )
        if wait_us := max(waits_us):
            return -(-wait_us // MICROSECONDS)
        self._tries.keep(by_all, now_us)
        self._tries.keep(by_one, now_us)
        return 0

    def _waits_us(self, whose: tuple[str, str], every_us: int, now_us: int) -> int:
        last_us = self._tries.get(whose) or self._tries.revive(whose)
        # A clock that jumped back must make nobody wait for it.
        return 0 if last_us is None or now_us < last_us else max(last_us + every_us - now_us, 0)

    def learn(self, bans: Iterable[Ban]) -> None:
        """Take bans into account that began elsewhere or earlier: the next one of a subject is longer."""
        for ban in bans:
            if ban.origin is _AUTOMATIC:
                self._budgets_of(ban.subject).learn(ban)

    def forgive(self, subject: str) -> None:
        """Forget the failures of a subject whose ban was lifted."""
        if not subject.startswith(_USER):
            self._budgets_of(subject).forget(subject)

    def _budgets_of(self, subject: str) -> FailureBudgets:
        return self._per_address if subject.startswith(_ADDRESS) else self._per_key

    def worst(self, most: int, now_us: int) -> list[Offender]:
        """Return the addresses and the key ids that have failed most often in this process."""
        return self._per_address.worst(most, now_us) + self._per_key.worst(most, now_us)


_LONGEST_ADDRESS = 45  # characters, of an IPv6 address with an IPv4 one in it


def seconds_left(ban: Ban, now_us: int) -> int:
    """Return how long a ban lasts, rounded up: whoever waits so long passes."""
    return max(-(-(ban.ends_us - now_us) // MICROSECONDS), 1)


def kind_of(ban: Ban) -> str:
    """Return what kind of subject is banned, one of `KINDS`."""
    return ban.subject.partition(":")[0]
