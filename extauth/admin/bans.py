"""The admin API's operations on bans: who is banned, banning and lifting, and who fails most."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, ClassVar

from pydantic import Field

from extauth.abuse.monitor import REASONS
from extauth.abuse.service import public_ban, public_offender
from extauth.admin.endpoint import Answer, Call, Endpoint, Services
from extauth.admin.models import Asked, NoParameters, Nothing
from extauth.admin.problems import AdminCode, Problem
from extauth.admin.records import Shown, Time
from extauth.admin.values import DEFAULT_PAGE, Count
from extauth.keys.rules import LONGEST_REASON
from extauth.keys.scopes import BANS_READ, BANS_WRITE
from extauth.settings.values import Duration
from extauth.stores.bans import Origin

_SUBJECT = "An address such as `192.0.2.7` or `2001:db8::/64`, `key:KEY_ID` or `user:USER_ID`."


class BanBody(Asked):
    """Whom to ban, and for how long. A ban that they have is replaced."""

    stand_ins: ClassVar[Mapping[str, object]] = {"subject": "", "lasts": timedelta(0)}

    subject: Annotated[str, Field(description=_SUBJECT)]
    lasts: Annotated[Duration, Field(description="How long, from now.")]
    reason: Annotated[
        str,
        Field(description="For the list and the audit log.", json_schema_extra={"maxLength": LONGEST_REASON}),
    ] = ""


class OffenderQuery(Asked):
    """How many are wanted."""

    limit: Annotated[Count, Field(description="How many at most.")] = DEFAULT_PAGE


class BanRecord(Shown):
    """A ban."""

    id: str = Field(description="It follows from the subject.")
    subject: str = Field(description="`ip:` with an address, of IPv6 the first of a /64; `key:`; or `user:`.")
    origin: Origin = Field(description="`automatic` for failures, `manual` for an operator.")
    began_at: Time
    ends_at: Time
    reason: str = Field(description="An operator's words.")
    actor: str = Field(description="Who has ordered it; empty for an automatic one.")


class BanRecords(Shown):
    """All bans that hold, the ones that end last first."""

    bans: list[BanRecord]


class OffenderRecord(Shown):
    """Who failed to authenticate."""

    subject: str = Field(description="`ip:` with an address, or `key:` with a key id.")
    failures: int = Field(description="On all servers together, since it last was quiet for an hour.")
    last_failed_at: Time
    reasons: dict[str, int] = Field(
        description="Why the keys were refused, and how often for each reason, the most frequent first. "
        f"One of: {', '.join(f'`{reason}`' for reason in REASONS)}."
    )


class OffenderRecords(Shown):
    """Who failed most often within the last hour. Behind by a few seconds."""

    offenders: list[OffenderRecord]


async def list_bans(services: Services, _call: Call[NoParameters]) -> Answer:
    """Show all bans."""
    return Answer(body={"bans": [public_ban(ban) for ban in await services.bans.list()]})


async def add_ban(services: Services, call: Call[BanBody]) -> Answer:
    """Ban somebody."""
    asked = call.asked
    ban = await services.bans.add(
        asked.subject, asked.lasts, call.by, reason=asked.reason, misread=call.misread
    )
    return Answer(body=public_ban(ban))


async def lift_ban(services: Services, call: Call[Nothing]) -> Answer | Problem:
    """End a ban."""
    ban = await services.bans.lift(call.ban, call.by)
    return Problem(code=AdminCode.BAN_NOT_FOUND) if ban is None else Answer(body=public_ban(ban))


async def list_offenders(services: Services, call: Call[OffenderQuery]) -> Answer:
    """Show who fails most."""
    offenders = await services.bans.offenders(call.asked.limit)
    return Answer(body={"offenders": [public_offender(offender) for offender in offenders]})


BAN_ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        name="listBans",
        method="GET",
        path="/bans",
        scope=BANS_READ,
        summary="List bans",
        description="All that hold, those that began by themselves too.",
        act=list_bans,
        asked=NoParameters,
        answers={200: BanRecords},
    ),
    Endpoint(
        name="addBan",
        method="POST",
        path="/bans",
        scope=BANS_WRITE,
        summary="Refuse everything of an address, a key or a user",
        description="In force on all servers within a second.",
        act=add_ban,
        asked=BanBody,
        judged=True,
        answers={200: BanRecord},
    ),
    Endpoint(
        name="liftBan",
        method="DELETE",
        path="/bans/{ban}",
        scope=BANS_WRITE,
        summary="End a ban",
        description="Noticed by all servers within a second. Failures are counted from nought again.",
        act=lift_ban,
        asked=Nothing,
        answers={200: BanRecord},
        needs_body=False,
    ),
    Endpoint(
        name="listOffenders",
        method="GET",
        path="/abuse/offenders",
        scope=BANS_READ,
        summary="Show who fails to authenticate most often",
        description="Of the last hour, on all servers together.",
        act=list_offenders,
        asked=OffenderQuery,
        answers={200: OffenderRecords},
    ),
)
