"""`extauth limits …`: what limits do, beyond the single key."""

from __future__ import annotations

from datetime import datetime, timedelta

import click

from extauth.cli.opening import now, run, settings_of
from extauth.cli.options import ago, as_json_option, page_limit_option, read_when
from extauth.cli.output import counted, print_json, print_table
from extauth.reporting.shadow_report import DEFAULT_DAYS, ShadowReport, shadow_report


@click.group("limits")
def limits_group() -> None:
    """See what limits would do."""


@limits_group.command("shadow-report")
@click.option(
    "--since",
    callback=read_when,
    default=f"{DEFAULT_DAYS - 1}d",
    metavar="WHEN",
    help=(
        "From the day of that time on: 7d ago, or a time such as 2027-01-31T12:00:00Z. "
        f"Default: today and the {DEFAULT_DAYS - 1} days before."
    ),
)
@page_limit_option()
@as_json_option
@click.pass_context
def report(context: click.Context, *, since: datetime | timedelta, limit: int, as_json: bool) -> None:
    """Show whom limits in shadow would have refused: by limit and day, then by key and route.

    Days are in UTC; 30 are kept. A server writes what it counts every second.
    """
    first, today = ago(since).date(), now().date()
    found = run(
        settings_of(context),
        lambda management: shadow_report(management.store, first, today, most=limit),
    )
    print_json(found.plain()) if as_json else _print(found)


def _print(found: ShadowReport) -> None:
    if not found.limits:
        click.echo(f"Since {found.since} no limit in shadow would have refused anything.")
        return
    limits = (
        (limit.name, str(limit.requests), str(limit.keys), str(day), str(requests))
        for limit in found.limits
        for day, requests in limit.days.items()
    )
    print_table(("LIMIT", "REQUESTS", "KEYS", "DAY", "ON THAT DAY"), limits, whole="LIMIT")
    click.echo()
    callers = ((*caller.place, str(caller.requests), str(caller.last_day)) for caller in found.callers)
    print_table(("LIMIT", "KEY ID", "ROUTE", "REQUESTS", "LAST ON"), callers, whole="KEY ID")
    if found.left_out:
        click.echo(f"{counted(found.left_out, 'line')} left out: --limit shows more.", err=True)
