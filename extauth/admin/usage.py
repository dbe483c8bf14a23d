"""The admin API's operations that show how much is used, and which requests of a key were refused."""

from __future__ import annotations

from extauth.admin.endpoint import Answer, Call, Endpoint, Services
from extauth.admin.models import Asked, NoParameters
from extauth.admin.usage_models import RefusalList, UsageQuery, UsageRecord
from extauth.keys.scopes import USAGE_READ
from extauth.usage.question import MOST_POINTS, MOST_POINTS_TOGETHER, By, UsageQuestion


async def show_usage(services: Services, call: Call[Asked]) -> Answer:
    """Show how much was used."""
    return Answer(body=(await services.usage.report(question_of(call.asked))).plain())


def question_of(query: Asked) -> UsageQuestion:
    """Return what a query asks, which is one of `UsageQuery`."""
    asked = dict(query)
    since, until, by = asked.pop("from"), asked.pop("to"), By(asked.pop("by"))
    return UsageQuestion(since=since, until=until, by=by, **asked)


async def list_refusals(services: Services, call: Call[NoParameters]) -> Answer:
    """Show the latest refusals of a key."""
    await services.service.get(call.key_id)
    return Answer(body={"refusals": await services.usage.refusals(call.key_id)})


USAGE_ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        name="showUsage",
        method="GET",
        path="/usage",
        scope=USAGE_READ,
        summary="Show how much is used",
        description=(
            "Series of counts, one for each key, user, route or tier, the busiest first. Each has a point "
            "for each step from `from` to before `to`, both of which are widened to whole steps. Minutes "
            "are kept for a day, hours for 90 days, days for two years. A series has at most "
            f"{MOST_POINTS:,} points, all together at most {MOST_POINTS_TOGETHER:,}: what would come to more "
            "is refused. Behind by a second or two."
        ),
        act=show_usage,
        asked=UsageQuery,
        answers={200: UsageRecord},
    ),
    Endpoint(
        name="listRefusals",
        method="GET",
        path="/keys/{key_id}/refusals",
        scope=USAGE_READ,
        summary="Show the latest refusals of a key",
        description="At most 50 of the last seven days, the newest first. Behind by a second or two.",
        act=list_refusals,
        asked=NoParameters,
        answers={200: RefusalList},
    ),
)
