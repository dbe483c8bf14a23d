"""`extauth bans …`: who is banned and who fails most; banning, and lifting bans, on the store directly."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import click

from extauth.abuse.service import BanService, public_ban, public_offender
from extauth.cli.opening import CLOCK, actor, run, settings_of
from extauth.cli.options import as_json_option, page_limit_option, read_span
from extauth.cli.output import print_fields, print_json, print_table
from extauth.errors import NotFoundError
from extauth.keys.token import mask_keys
from extauth.management import KeyManagement

_TITLES = ("ID", "SUBJECT", "ORIGIN", "BEGAN", "ENDS", "REASON", "BY")


@click.group("bans")
def bans_group() -> None:
    """See who is banned and who fails to authenticate; ban, and lift bans."""


@bans_group.command("list")
@as_json_option
@click.pass_context
def list_bans(context: click.Context, *, as_json: bool) -> None:
    """List the bans that hold, the ones that end last first."""
    bans = run(settings_of(context), lambda management: _service(management).list())
    if as_json:
        print_json({"bans": [public_ban(ban) for ban in bans]})
    else:
        print_table(_TITLES, ([*public_ban(ban).values()] for ban in bans), whole="ID")


@bans_group.command("add")
@click.argument("subject")
@click.option(
    "--for",
    "lasts",
    callback=read_span,
    required=True,
    metavar="DURATION",
    help="How long: 30m, 24h or 90d from now.",
)
@click.option("--reason", default="", help="Why, for the list and the audit log.")
@as_json_option
@click.pass_context
def add_ban(context: click.Context, *, subject: str, lasts: timedelta, reason: str, as_json: bool) -> None:
    """Refuse everything of SUBJECT: an address, a /64 of IPv6, key:KEY_ID or user:USER_ID.

    In force within a second. A ban that it has is replaced.
    """
    ban = run(
        settings_of(context),
        lambda management: _service(management).add(subject, lasts, actor(), reason=reason),
    )
    print_json(public_ban(ban)) if as_json else print_fields(public_ban(ban))


@bans_group.command("lift")
@click.argument("ban")
@as_json_option
@click.pass_context
def lift_ban(context: click.Context, *, ban: str, as_json: bool) -> None:
    """End a ban, which BAN names by its id or its subject. Servers notice within a second."""
    lifted = run(settings_of(context), lambda management: _service(management).lift(ban, actor()))
    if lifted is None:
        raise NotFoundError(f"there is no ban {mask_keys(ban)!r}; it may be over")
    print_json(public_ban(lifted)) if as_json else click.echo(f"Lifted the ban of {lifted.subject}.")


@bans_group.command("offenders")
@page_limit_option()
@as_json_option
@click.pass_context
def list_offenders(context: click.Context, *, limit: int, as_json: bool) -> None:
    """Show who failed to authenticate most often within the last hour.

    On all servers together; each writes down every few seconds what it counts.
    """
    found = run(settings_of(context), lambda management: _service(management).offenders(limit))
    offenders = [public_offender(offender) for offender in found]
    if as_json:
        print_json({"offenders": offenders})
    else:
        rows = ([*map(str, told), _reasons(reasons)] for *told, reasons in map(dict.values, offenders))
        print_table(("SUBJECT", "FAILURES", "LAST", "REASONS"), rows, whole="SUBJECT")


def _reasons(reasons: Mapping[str, int]) -> str:
    return ", ".join(f"{reason} {failures}" for reason, failures in reasons.items())


def _service(management: KeyManagement) -> BanService:
    return BanService(management.store, CLOCK)
