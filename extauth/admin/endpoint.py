"""What an endpoint of the admin API is: one row says all that routing, checking and documentation need."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from extauth.abuse.service import BanService
from extauth.admin.models import Asked
from extauth.admin.problems import Problem
from extauth.clock import Clock
from extauth.keys.asked import ALL_READ, Actor, Misread
from extauth.keys.idempotency import RepeatableCreation
from extauth.keys.service import KeyService
from extauth.model import ApiKey
from extauth.reporting.explain import Explainer
from extauth.reporting.standing import KeyLimits
from extauth.stores.shadowed import ShadowedStore
from extauth.usage.service import UsageService

Input = TypeVar("Input", bound=Asked)


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What endpoints work with. Keys made without a tier or an environment get these."""

    service: KeyService
    creation: RepeatableCreation
    clock: Clock
    default_tier: str
    default_environment: str
    limits: KeyLimits
    explainer: Explainer
    shadowed: ShadowedStore
    bans: BanService
    usage: UsageService


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[Input]):
    """One admitted request: who asks for what.

    `asked` is the body of a change, the query of all others; `misread` is what could not be read of it. Then
    nothing may be done. `ban` is what the path names one by. `if_match` holds the entity tags of the
    condition, None where there is none.
    """

    by: Actor
    asked: Input
    misread: Misread = ALL_READ
    key_id: str = ""
    ban: str = ""
    if_match: frozenset[str] | None = None
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a request comes to. `key_id` is the key that it was about, for the log."""

    body: Mapping[str, Any]
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    key_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One operation. `path` is below `/admin/v1`; `scope` is what callers need.

    `asked` is the model of the body of a change, and of the query of all others. `answers` are the models of
    the bodies that it answers with, by status. `needs_body` False lets the body be left out. `judged` means
    that behind `act` there are rules for what is asked: it gets requests of which something was misread too,
    and does nothing then but find what else is wrong with them.
    """

    name: str
    method: str
    path: str
    scope: str
    summary: str
    act: Callable[[Services, Call[Any]], Awaitable[Answer | Problem]]
    asked: type[Asked]
    answers: Mapping[int, type[BaseModel]]
    description: str = ""
    needs_body: bool = True
    judged: bool = False
    # Whether its log line is wanted; a question that needs a body changes nothing either.
    logged: bool = True
    # Which of the further headers and refusals there are.
    conditional: bool = False
    repeatable: bool = False
    tagged: bool = False
    conflicts: bool = False

    @property
    def changes(self) -> bool:
        """Tell whether it changes anything; then it may have a body, and gets a log line."""
        return self.method != "GET"

    @property
    def of_one_key(self) -> bool:
        """Tell whether its path names a key."""
        return "{key_id}" in self.path

    @property
    def of_one_ban(self) -> bool:
        """Tell whether its path names a ban."""
        return "{ban}" in self.path


def entity_tag(record: ApiKey) -> str:
    """Return the strong validator of a record (RFC 9110 section 8.8.3): its version, in quotes."""
    return f'"{record.version}"'
