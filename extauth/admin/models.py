"""What callers of the admin API may send: bodies and queries as pydantic models.

They judge shapes only; `fitting` reads what fits them. What a key may be is judged by the key service, of the
fields that fit; the bounds that the schemas show are its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.json_schema import WithJsonSchema

from extauth.admin.values import DEFAULT_PAGE, Count, Flag, Grace, KeyId, Moment, Word
from extauth.keys.rules import LONGEST_NAME, LONGEST_REASON, LONGEST_USER_ID, MOST_SCOPES
from extauth.settings.values import Duration


class Asked(BaseModel):
    """What a request holds: nothing unknown, and null only where it means something.

    Elsewhere None stands for what was left out, and the schemas don't show it. Of the `exclusive` fields one
    at most may be given. `stand_ins` are the values of needed fields in what is read of a request without
    them. A dictionary as the context of the validation gets all fields that fit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
    nullable: ClassVar[frozenset[str]] = frozenset()
    exclusive: ClassVar[tuple[str, ...]] = ()
    stand_ins: ClassVar[Mapping[str, object]] = {}

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_null(cls, value: object, info: ValidationInfo) -> object:
        if value is None and info.field_name not in cls.nullable:
            raise ValueError("must not be null; leave it out instead")
        return value

    @field_validator("*", mode="after")
    @classmethod
    def _hand_out(cls, value: object, info: ValidationInfo) -> object:
        if info.context is not None:
            info.context[info.field_name] = value
        return value


class NoParameters(Asked):
    """A query without anything in it."""


class Nothing(Asked):
    """A body without anything in it; it may as well be left out."""


_USER_ID = {"minLength": 1, "maxLength": LONGEST_USER_ID, "pattern": "^[!-~]+$"}
_NAME = {"minLength": 1, "maxLength": LONGEST_NAME}
_SCOPES = {"maxItems": MOST_SCOPES}
_LIMITS = (
    "Rates, a quota or how many requests may be in flight, instead of all that its tier has: "
    '`{"rates": ["10/second"], "quota": "100000/month", "concurrency": {"max": 4}}`.'
)
_METADATA = "Whatever belongs to the key, up to 4096 bytes of JSON. No secrets: it is shown."
_EXAMPLE: dict[str, Any] = {
    "user_id": "alice",
    "name": "laptop",
    "scopes": ["orders:read"],
    "expires_in": "90d",
    "metadata": {"team": "blue"},
}
_MOMENT_OR_NULL = {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]}


class NewKeyBody(Asked):
    """A key that is asked for. At most one of `expires_at`, `expires_in` and `never` says when it ends."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})
    exclusive = ("expires_at", "expires_in", "never")
    stand_ins: ClassVar[Mapping[str, object]] = {"user_id": "", "name": ""}

    user_id: Annotated[
        str, Field(description="Whose key it is. Upstreams get it.", json_schema_extra={**_USER_ID})
    ]
    name: Annotated[str, Field(description="What it is for, for people.", json_schema_extra={**_NAME})]
    tier: Annotated[str | None, Field(description="Whose limits apply; else keys.default_tier.")] = None
    environment: Annotated[
        str | None, Field(description="Shown in the key's text; else keys.default_environment.")
    ] = None
    scopes: Annotated[
        tuple[str, ...],
        Field(description="What it may do: scopes that you hold yourself.", json_schema_extra={**_SCOPES}),
    ] = ()
    expires_at: Annotated[Moment | None, Field(description="When it ends.")] = None
    expires_in: Annotated[Duration | None, Field(description="When it ends, from now.")] = None
    never: Annotated[StrictBool, Field(description="It never ends, whatever keys.default_lifetime.")] = False
    limits: Annotated[dict[str, object], Field(description=_LIMITS)] = {}
    metadata: Annotated[dict[str, object], Field(description=_METADATA)] = {}


class KeyChangeBody(Asked):
    """What is to be different about a key; what is left out stays. `limits` and `metadata` change whole."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})
    nullable = frozenset({"expires_at"})

    name: Annotated[str | None, Field(json_schema_extra={**_NAME})] = None
    tier: str | None = None
    scopes: Annotated[tuple[str, ...] | None, Field(json_schema_extra={**_SCOPES})] = None
    expires_at: Annotated[
        Moment | None, Field(description="When it ends; null: never."), WithJsonSchema(_MOMENT_OR_NULL)
    ] = None
    limits: Annotated[dict[str, object] | None, Field(description=_LIMITS)] = None
    metadata: Annotated[dict[str, object] | None, Field(description=_METADATA)] = None

    @model_validator(mode="after")
    def _some_change(self) -> KeyChangeBody:
        if not self.model_fields_set:
            raise ValueError("name at least one field that is to change")
        return self


class RevocationBody(Asked):
    """Why a key ends."""

    reason: Annotated[
        str,
        Field(
            description="For the record and the audit log.", json_schema_extra={"maxLength": LONGEST_REASON}
        ),
    ] = ""


class RotationBody(Asked):
    """How a key is replaced."""

    grace: Annotated[
        Grace | None,
        Field(description="How long the old key goes on working; else keys.default_grace. `0s`: not at all."),
    ] = None


class PurgeBody(Asked):
    """Which keys are forgotten."""

    revoked_before: Annotated[Moment, Field(description="Keys that were revoked earlier are forgotten.")]


class PageQuery(Asked):
    """Where a list goes on, and how much of it is wanted."""

    cursor: Annotated[Word | None, Field(description="The `next_cursor` of the page before.")] = None
    limit: Annotated[Count, Field(description="How many at most.")] = DEFAULT_PAGE


class KeyListQuery(PageQuery):
    """Which keys a list shows: all conditions must hold."""

    exclusive = ("unused_since", "unused_for")

    user_id: Annotated[Word | None, Field(description="Keys of this user.")] = None
    tier: Annotated[Word | None, Field(description="Keys of this tier.")] = None
    active: Annotated[
        Flag | None, Field(description="`false`: keys that are disabled or revoked; `true`: all others.")
    ] = None
    expiring_within: Annotated[
        Duration | None,
        Field(description="Keys that end within so long from now; those that have ended too."),
    ] = None
    unused_since: Annotated[
        Moment | None, Field(description="Keys last used before that time, or never and made before it.")
    ] = None
    unused_for: Annotated[Duration | None, Field(description="The same, counted back from now.")] = None


class AuditQuery(PageQuery):
    """Which entries of the audit log are shown: all conditions must hold."""

    key_id: Annotated[KeyId | None, Field(description="Changes of this key.")] = None
    actor: Annotated[Word | None, Field(description="What this actor did: `cli`, or `key:<key id>`.")] = None
    action: Annotated[Word | None, Field(description="Changes of this kind, such as `key.revoked`.")] = None
    since: Annotated[Moment | None, Field(description="From that time on.")] = None
    until: Annotated[Moment | None, Field(description="Before that time.")] = None
