"""The admin API's operations on limits: how they stand, giving back what was spent, explaining a request."""

from __future__ import annotations

from datetime import timedelta

from extauth.admin.endpoint import Answer, Call, Endpoint, Services, entity_tag
from extauth.admin.limit_models import (
    ExplainBody,
    ExplanationRecord,
    KeyLimitsRecord,
    LimitsReset,
    ShadowReportQuery,
    ShadowReportRecord,
)
from extauth.admin.models import NoParameters, Nothing
from extauth.admin.problems import AdminCode, Problem
from extauth.clock import from_us
from extauth.keys.scopes import KEYS_READ, KEYS_WRITE
from extauth.reporting.explained import Question
from extauth.reporting.shadow_report import DEFAULT_DAYS, shadow_report


async def show_limits(services: Services, call: Call[NoParameters]) -> Answer:
    """Show how the limits of a key stand."""
    return Answer(body=(await services.limits.look(call.key_id)).plain())


async def reset_limits(services: Services, call: Call[Nothing]) -> Answer | Problem:
    """Forget what a key has spent."""
    if call.if_match is not None:
        tag = entity_tag(await services.service.get(call.key_id))
        if tag not in call.if_match:
            return Problem(code=AdminCode.PRECONDITION_FAILED, headers={"etag": tag})
    names = await services.limits.reset(call.key_id, call.by)
    return Answer(body={"key_id": call.key_id, "reset": names}, key_id=call.key_id)


async def explain(services: Services, call: Call[ExplainBody]) -> Answer:
    """Say what would come of a request."""
    asked = call.asked
    question = Question(url=asked.url, method=asked.method, key_id=asked.key_id, client_ip=asked.client_ip)
    return Answer(body=(await services.explainer.explain(question)).plain())


async def report_shadowed(services: Services, call: Call[ShadowReportQuery]) -> Answer:
    """Show whom limits in shadow would have refused."""
    now = from_us(services.clock.now_us())
    since = call.asked.since or now - timedelta(days=DEFAULT_DAYS - 1)
    report = await shadow_report(services.shadowed, since.date(), now.date(), most=call.asked.limit)
    return Answer(body=report.plain())


LIMIT_ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        name="showKeyLimits",
        method="GET",
        path="/keys/{key_id}/limits",
        scope=KEYS_READ,
        summary="Show how the limits of a key stand",
        description=(
            "For requests that cost 1 and whose route sets no limits: those of the key or its tier, then "
            "those of everybody. Nothing is taken. Of limits per address or per route no state can be told."
        ),
        act=show_limits,
        asked=NoParameters,
        answers={200: KeyLimitsRecord},
    ),
    Endpoint(
        name="resetKeyLimits",
        method="POST",
        path="/keys/{key_id}/limits/reset",
        scope=KEYS_WRITE,
        summary="Forget what a key has spent",
        description=(
            "Of all limits that count this key alone, those of routes among them. Limits that it shares "
            "with other keys stay as they are. Other servers notice within a second, "
            "the end of a cool-down within a minute."
        ),
        act=reset_limits,
        asked=Nothing,
        answers={200: LimitsReset},
        needs_body=False,
        conditional=True,
    ),
    Endpoint(
        name="reportShadowed",
        method="GET",
        path="/limits/shadow-report",
        scope=KEYS_READ,
        summary="Show whom limits in shadow would have refused",
        description="By limit and day, then by key and route. Behind by a second or two.",
        act=report_shadowed,
        asked=ShadowReportQuery,
        answers={200: ShadowReportRecord},
    ),
    Endpoint(
        name="explain",
        method="POST",
        path="/explain",
        scope=KEYS_READ,
        summary="Explain what would come of a request",
        description="Takes nothing, counts nothing and logs no decision.",
        act=explain,
        asked=ExplainBody,
        answers={200: ExplanationRecord},
        logged=False,
    ),
)
