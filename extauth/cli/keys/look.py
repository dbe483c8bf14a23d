"""`extauth keys list`, `show` and `grace`: what there is, and who still uses a rotated key."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import click

from extauth.cli.opening import now, run, settings_of
from extauth.cli.options import (
    DEFAULT_PAGE,
    as_json_option,
    cursor_option,
    exclusive,
    page_limit_option,
    read_span,
)
from extauth.cli.output import ends_at, print_fields, print_json, print_record, print_table, state_of
from extauth.errors import InvalidInputError
from extauth.keys.asked import GraceReport
from extauth.keys.views import plain, public
from extauth.management import KeyManagement
from extauth.model import ApiKey
from extauth.moving.pages import collect
from extauth.stores.base import KeyFilter

_TITLES = ("KEY ID", "USER", "NAME", "TIER", "SCOPES", "STATE", "EXPIRES")


@click.command("list")
@click.option("--user-id", help="Only the keys of this user.")
@click.option("--tier", help="Only the keys of this tier.")
@click.option("--active", is_flag=True, help="Only those that are in force.")
@click.option("--inactive", is_flag=True, help="Only those that are disabled or revoked.")
@click.option(
    "--expiring-within",
    callback=read_span,
    metavar="DURATION",
    help="Only those that end so soon, such as 30d.",
)
@click.option(
    "--unused-for",
    callback=read_span,
    metavar="DURATION",
    help="Only those that nobody used so long, such as 90d.",
)
@page_limit_option(None)
@cursor_option
@click.option("--all", "everything", is_flag=True, help="All of them, however many.")
@as_json_option
@click.pass_context
def list_keys(
    context: click.Context,
    *,
    user_id: str | None,
    tier: str | None,
    active: bool,
    inactive: bool,
    expiring_within: timedelta | None,
    unused_for: timedelta | None,
    limit: int | None,
    cursor: str | None,
    everything: bool,
    as_json: bool,
) -> None:
    """List keys, oldest first."""
    exclusive(all=everything, limit=limit)
    exclusive(active=active, inactive=inactive)
    moment = now()
    wanted = KeyFilter(
        user_id=user_id,
        tier=tier,
        active=active if active or inactive else None,
        expires_before=None if expiring_within is None else moment + expiring_within,
        unused_since=None if unused_for is None else moment - unused_for,
    )
    most = None if everything else limit or DEFAULT_PAGE
    keys, next_cursor = run(
        settings_of(context), lambda management: _find(management, wanted, cursor, most, moment)
    )
    if as_json:
        print_json({"keys": [public(key) for key in keys], "next_cursor": next_cursor})
        return
    _print_keys(keys, moment)
    if next_cursor:
        click.echo(f"More: --cursor {next_cursor}", err=True)


async def _find(
    management: KeyManagement, wanted: KeyFilter, cursor: str | None, limit: int | None, moment: datetime
) -> tuple[list[ApiKey], str | None]:
    async def read(cursor: str | None, limit: int) -> tuple[Sequence[ApiKey], str | None]:
        page = await management.service.list(wanted, cursor=cursor, limit=limit)
        return page.keys, page.next_cursor

    def is_shown(key: ApiKey) -> bool:
        # A key that has ended already is not about to.
        return wanted.expires_before is None or (key.expires_at is not None and key.expires_at > moment)

    return await collect(read, cursor=cursor, limit=limit, shown=is_shown)


def _print_keys(keys: Sequence[ApiKey], moment: datetime) -> None:
    rows = (
        (
            key.key_id,
            key.user_id,
            key.name,
            key.tier,
            " ".join(key.scopes),
            state_of(key, moment),
            plain(ends_at(key)) or "never",
        )
        for key in keys
    )
    print_table(_TITLES, rows, whole="KEY ID")


@click.command("show")
@click.argument("key_id")
@as_json_option
@click.pass_context
def show(context: click.Context, *, key_id: str, as_json: bool) -> None:
    """Show one key's record; of a rotated key also who still uses it."""
    report = run(settings_of(context), lambda management: management.service.grace(key_id))
    is_rotated = report.record.rotated_to is not None
    if as_json:
        print_json(
            {**public(report.record), "grace": _plain(report)} if is_rotated else public(report.record)
        )
        return
    print_record(report.record)
    if is_rotated:
        click.echo()
        _print_grace(report)


@click.command("grace")
@click.argument("key_id")
@as_json_option
@click.pass_context
def grace(context: click.Context, *, key_id: str, as_json: bool) -> None:
    """Show who still uses a rotated key, and whether its grace can be ended."""
    report = run(settings_of(context), lambda management: management.service.grace(key_id))
    if report.record.rotated_to is None:
        raise InvalidInputError(f"key {key_id} was not rotated, so it has no grace")
    print_json(_plain(report)) if as_json else _print_grace(report)


def _plain(report: GraceReport) -> dict[str, Any]:
    record = report.record
    return {
        "key_id": record.key_id,
        "rotated_to": record.rotated_to,
        "rotated_at": plain(record.rotated_at),
        "grace_until": plain(record.grace_until),
        "calls": report.use.calls,
        "addresses": dict(report.use.addresses),
        "is_safe": report.is_safe,
    }


def _print_grace(report: GraceReport) -> None:
    record = report.record
    print_fields(
        {
            "rotated to": record.rotated_to,
            "rotated at": plain(record.rotated_at),
            "works until": plain(record.grace_until),
            "calls since": report.use.calls,
            "last used": plain(record.last_used),
        }
    )
    if report.use.addresses:
        click.echo()
        rows = [(address, str(calls)) for address, calls in report.use.addresses.items()]
        print_table(("FROM", "CALLS"), rows, whole="FROM")
    click.echo(f"\n{_advice(report)}")


def _advice(report: GraceReport) -> str:
    state = state_of(report.record, now())
    if state != "in grace":
        return f"The old key doesn't work any more: it is {state}."
    end = f"extauth keys revoke {report.record.key_id}"
    if report.is_safe:
        return f"Ending the grace is safe: nobody has used the old key since its rotation. To end it: {end}"
    return (
        "Ending the grace is not safe: the old key was used since its rotation. "
        f"Give those who call from there the new one first; then: {end}"
    )
