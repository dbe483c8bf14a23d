"""`extauth usage`: how much is used, by whom and where."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import click

from extauth.cli.opening import CLOCK, settings_of
from extauth.cli.options import ago, as_json_option, read_when
from extauth.cli.output import print_json, print_table
from extauth.management import open_store, open_usage
from extauth.settings.model import Settings
from extauth.stores.usage import Counts, requests_of
from extauth.usage.question import DEFAULT_GROUPS, MOST_GROUPS, STEP_NAMES, By, UsageQuestion
from extauth.usage.report import OUTCOME_NAMES, UsageReport, told
from extauth.usage.service import UsageService

_BARS = "▁▂▃▄▅▆▇█"
# As wide as a terminal has room for beside the numbers.
_WIDEST = 40
_TITLES = ("REQUESTS", "ALLOWED", "LIMITED", "THROTTLED", "REFUSED", "FAILED", "P50", "P99", "OVER TIME")


@click.command("usage")
@click.option(
    "--by",
    type=click.Choice([by.value for by in By]),
    default=By.KEY.value,
    show_default=True,
    help="What lines are told apart by.",
)
@click.option("--key-id", help="Requests of this key.")
@click.option("--user-id", help="Requests of this user.")
@click.option("--route", help="Requests for this route, by its name.")
@click.option("--tier", help="Requests under this tier.")
@click.option(
    "--since",
    callback=read_when,
    default="24h",
    show_default=True,
    metavar="WHEN",
    help="From that time on: 24h ago, or a time such as 2027-01-31T12:00:00Z.",
)
@click.option(
    "--until", callback=read_when, metavar="WHEN", help="Up to that time, given as --since is. Default: now."
)
@click.option(
    "--step", type=click.Choice(STEP_NAMES), help="How finely. Default: as the time asked for is long."
)
@click.option(
    "--limit",
    type=click.IntRange(1, MOST_GROUPS),
    default=DEFAULT_GROUPS,
    show_default=True,
    help="How many lines at most.",
)
@as_json_option
@click.pass_context
def usage_command(
    context: click.Context,
    /,
    *,
    by: str,
    since: datetime | timedelta,
    until: datetime | timedelta | None,
    as_json: bool,
    **asked: Any,
) -> None:
    """Show how much is used, by whom and where, the busiest first.

    Minutes are kept for a day, hours for 90 days, days for two years. A server writes what it counts every
    second.
    """
    question = UsageQuestion(
        since=ago(since),
        until=None if until is None else ago(until),
        by=By(by),
        # The other options are called as its fields are.
        **asked,
    )
    found = asyncio.run(_report(settings_of(context), question))
    print_json(found.plain()) if as_json else _print(found)


async def _report(settings: Settings, question: UsageQuestion) -> UsageReport:
    async with open_store(settings.store) as keys, open_usage(settings.store, to_read=True) as usage:
        return await UsageService(usage, keys, CLOCK).report(question)


def _print(found: UsageReport) -> None:
    if not any(requests_of(series.total) for series in found.series):
        click.echo("Nothing was counted in that time.")
        return
    title = "ALL" if found.by is By.NONE else found.by.value.upper()
    rows = (
        (series.group or "-", *_numbers(series.total), sparkline([requests_of(one) for one in series.counts]))
        for series in found.series
    )
    print_table((title, *_TITLES), rows, whole=title)


def _numbers(total: Counts) -> tuple[str, ...]:
    counts = told(total)
    latency = counts["latency_us"]
    percentiles = ("-" if value is None else f"{value} µs" for value in (latency["p50"], latency["p99"]))
    return str(requests_of(total)), *(str(counts[name]) for name in OUTCOME_NAMES), *percentiles


def sparkline(numbers: Sequence[int]) -> str:
    """Return a bar for each number, or for as many at a time as fit; nothing at all is a blank."""
    together = -(-len(numbers) // _WIDEST)
    sums = [sum(numbers[first : first + together]) for first in range(0, len(numbers), together or 1)]
    highest = max(sums, default=0)
    return "".join(_BARS[-(-number * len(_BARS) // highest) - 1] if number else " " for number in sums)
