"""What the admin API answers with, as models: the schemas of its documentation.

The answers themselves come from `extauth.keys.views`; tests compare the two.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import WithJsonSchema

from extauth.admin.problems import AdminCode

Time = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
_SHORT = (
    "Null on the last page. A page may hold fewer entries than asked for, or none, and yet not be the last: "
    "follow this until it is null."
)


class Shown(BaseModel):
    """What an answer holds: these members and no others, always all of them."""

    model_config = ConfigDict(extra="forbid")


class KeyRecord(Shown):
    """A key without its secret, which nobody has, and without the hash of it. Times are RFC 3339 in UTC."""

    key_id: str
    hint: str = Field(description="Prefix, id and last four characters.")
    user_id: str
    name: str
    tier: str
    scopes: list[str]
    environment: str
    created_at: Time
    active: bool = Field(description="False: disabled, or revoked where `revoked_at` is set.")
    expires_at: Time | None = Field(description="Null: never.")
    last_used: Time | None = Field(description="Behind by a little; null: never.")
    revoked_at: Time | None
    revoked_reason: str
    rotated_from: str | None = Field(description="The key that this one replaces.")
    rotated_to: str | None = Field(description="The key that replaces this one.")
    rotated_at: Time | None
    grace_until: Time | None = Field(description="When a rotated key ends.")
    limits: dict[str, object] = Field(description="Its own instead of its tier's; empty: none.")
    metadata: dict[str, object]
    pepper_id: str = Field(description="The pepper that it needs.")
    imported: bool = Field(description="Whether another system made it.")
    version: int = Field(description="Rises with every change but that of `last_used`; it is the ETag.")


class IssuedKeyRecord(KeyRecord):
    """A new key, with its text."""

    key: str = Field(description="The key. It is shown this once.")


class KeyList(Shown):
    """A page of keys, oldest first."""

    keys: list[KeyRecord]
    next_cursor: str | None = Field(description=_SHORT)


class GraceCaller(Shown):
    """Who still calls with a rotated key."""

    address: str = Field(description="Where from; `other` stands for all beyond the first twenty.")
    calls: int


class GraceUse(Shown):
    """Who still calls with a rotated key."""

    key_id: str
    rotated_to: str
    rotated_at: Time | None
    grace_until: Time | None
    last_used: Time | None
    calls: int = Field(description="How often it was used since the rotation. Behind by a little.")
    addresses: list[GraceCaller] = Field(description="The busiest first.")
    safe_to_end: bool = Field(description="Whether nobody has called with it since the rotation.")


class Purged(Shown):
    """What a purge did."""

    purged: int = Field(description="How many keys were forgotten.")


class AuditRecord(Shown):
    """One change, of a key or of a ban."""

    id: str
    at: Time
    actor: str = Field(description="`cli`, or `key:` and the id of an admin key.")
    source: str = Field(description="The address that it came from; `cli`, or `unix` for a unix socket.")
    action: str
    key_id: str = Field(description="Empty where it is about no key.")
    before: dict[str, object] = Field(description="What differs, as it was.")
    after: dict[str, object] = Field(description="What differs, as it is.")


class AuditList(Shown):
    """A page of the audit log, newest entry first."""

    entries: list[AuditRecord]
    next_cursor: str | None = Field(description=_SHORT)


class Pepper(Shown):
    """A pepper, by what can be told about it."""

    pepper_id: str = Field(description="Empty for keys from before ids were noted.")
    keys: int = Field(description="How many keys that are not revoked need it.")
    configured: bool
    signs: bool = Field(description="Whether new keys are made under it.")


class PepperList(Shown):
    """All peppers that are configured, or that a key still needs."""

    peppers: list[Pepper]


class FieldError(Shown):
    """One thing that is wrong with a request."""

    field: str = Field(
        description=(
            "A JSON pointer into the body, such as `/scopes/0`, empty for all of it; or the name of a query "
            "parameter or of a header."
        )
    )
    detail: str


class ProblemBody(Shown):
    """A refusal (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    code: AdminCode
    errors: list[FieldError] = Field(default=[], description="Everything that is wrong, where that is known.")
