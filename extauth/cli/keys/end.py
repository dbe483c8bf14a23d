"""`extauth keys revoke` and `purge`: what can't be taken back, and is asked about first."""

from __future__ import annotations

from datetime import datetime, timedelta

import click

from extauth.cli.opening import actor, run, settings_of
from extauth.cli.options import ago, as_json_option, read_when, yes_option
from extauth.cli.output import confirm, counted, print_json
from extauth.keys.views import plain, public
from extauth.management import KeyManagement
from extauth.model import ApiKey
from extauth.moving.pages import pages_of
from extauth.stores.base import KeyFilter


@click.command("revoke")
@click.argument("key_id")
@click.option("--reason", default="", help="Why, for the record and the audit log.")
@yes_option
@as_json_option
@click.pass_context
def revoke(context: click.Context, *, key_id: str, reason: str, yes: bool, as_json: bool) -> None:
    """End a key for good. A running server refuses it within 0.2 s."""
    settings = settings_of(context)
    if not yes:
        record = run(settings, lambda management: management.service.get(key_id))
        confirm(f"Revoke {record.hint} ({record.name}, user {record.user_id}) for good?", yes=yes)

    async def work(management: KeyManagement) -> tuple[bool, ApiKey]:
        was_revoked = (await management.service.get(key_id)).revoked_at is not None
        return was_revoked, await management.service.revoke(key_id, actor(), reason=reason)

    was_revoked, revoked = run(settings, work)
    if as_json:
        print_json(public(revoked))
    elif was_revoked:
        click.echo(f"{revoked.hint} is revoked already; its reason stays as it was.")
    else:
        click.echo(f"Revoked {revoked.hint}.")


@click.command("purge")
@click.option(
    "--revoked-before",
    callback=read_when,
    required=True,
    metavar="WHEN",
    help="How long ago they were revoked at least, such as 90d; or a time such as 2027-01-31T12:00:00Z.",
)
@yes_option
@as_json_option
@click.pass_context
def purge(context: click.Context, *, revoked_before: datetime | timedelta, yes: bool, as_json: bool) -> None:
    """Forget keys that were revoked long ago. Their audit entries stay."""
    settings = settings_of(context)
    before = ago(revoked_before)
    if not yes and (number := run(settings, lambda management: _revoked(management, before))):
        confirm(f"Forget {counted(number, 'revoked key')} for good?", yes=yes)
    purged = run(settings, lambda management: management.service.purge(before, actor()))
    if as_json:
        print_json({"purged": purged, "revoked_before": plain(before)})
    else:
        click.echo(f"Forgot {counted(purged, 'key')} revoked before {plain(before)}.")


async def _revoked(management: KeyManagement, before: datetime) -> int:
    number = 0
    async for keys in pages_of(management.service, KeyFilter(active=False)):
        number += sum(key.revoked_at is not None and key.revoked_at < before for key in keys)
    return number
