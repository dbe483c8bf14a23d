"""What callers ask of the key service, and what it answers with: frozen values."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from extauth.model import ApiKey
from extauth.stores.base import GraceUse


class Unset(enum.Enum):
    """Stands for what a change leaves as it is, where None means something."""

    UNSET = "unset"


UNSET: Final = Unset.UNSET

# A field and what is wrong about it; the empty field stands for all that was asked.
Mistake = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Misread:
    """What could not be read of what somebody asks; then nothing is done.

    The rules judge the rest all the same, so that everything that is wrong is told at once: `mistakes` as
    they are, under whatever names their reader has for places. The values of `fields` are stand-ins, which no
    rule may judge.
    """

    mistakes: tuple[Mistake, ...] = ()
    fields: frozenset[str] = frozenset()

    def also(self, *mistakes: Mistake) -> Misread:
        """Return the same with more fields, whose values are of no use either."""
        return Misread((*self.mistakes, *mistakes), self.fields.union(field for field, _ in mistakes))


ALL_READ: Final = Misread()


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who asks, for the audit log, and what they may grant.

    `scopes` None means that they may grant everything, as the command line may.
    """

    name: str
    source: str
    scopes: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """A key that somebody asks for.

    Without an end the policy's default lifetime applies, unless `never` asks for none. `expires_at` and
    `lifetime` exclude each other.
    """

    user_id: str
    name: str
    tier: str
    environment: str
    scopes: tuple[str, ...] = ()
    lifetime: timedelta | None = None
    expires_at: datetime | None = None
    never: bool = False
    limits: Mapping[str, object] = field(default_factory=dict)
    metadata: Mapping[str, object] = field(default_factory=dict)

    @property
    def ends_by(self) -> str | None:
        """The field that says when the key ends; None where the policy does."""
        said = {
            "lifetime": self.lifetime is not None,
            "expires_at": self.expires_at is not None,
            "never": self.never,
        }
        return next((name for name, is_said in said.items() if is_said), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyChange:
    """What is to be different about a key. `expires_at` None means that it never ends."""

    name: str | Unset = UNSET
    tier: str | Unset = UNSET
    scopes: tuple[str, ...] | Unset = UNSET
    expires_at: datetime | Unset | None = UNSET
    limits: Mapping[str, object] | Unset = UNSET
    metadata: Mapping[str, object] | Unset = UNSET


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A new record with the key's full text, which exists here and nowhere else."""

    record: ApiKey
    text: str

    def __repr__(self) -> str:
        """Show no secret."""
        return f"IssuedKey({self.record.hint})"


@dataclass(frozen=True, slots=True)
class GraceReport:
    """Whether the grace of a rotated key can be ended: it is safe where nobody has used the key since."""

    record: ApiKey
    use: GraceUse

    @property
    def is_safe(self) -> bool:
        """Tell whether nobody has called with the old key since the rotation."""
        return self.use.calls == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PepperStatus:
    """One pepper: how many keys need it, whether it is configured, whether new keys are made under it.

    `pepper_id` is empty for keys made before ids were noted.
    """

    pepper_id: str
    keys: int
    configured: bool
    signs: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPolicy:
    """What keys may be, whoever asks. None means no bound.

    `tier_scopes` are the scopes that the keys of a tier may hold, wildcards among them; a tier that is not
    there may hold all.
    """

    default_lifetime: timedelta | None = None
    longest_lifetime: timedelta | None = None
    default_grace: timedelta = timedelta(hours=24)
    longest_grace: timedelta = timedelta(days=30)
    keys_per_user: int | None = None
    tier_scopes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
