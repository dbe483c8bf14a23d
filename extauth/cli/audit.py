"""`extauth audit …`: who changed what, and forgetting what is older than it has to be kept."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import click

from extauth.cli.opening import now, run, settings_of
from extauth.cli.options import ago, as_json_option, cursor_option, page_limit_option, read_when
from extauth.cli.output import print_json, print_table, shown
from extauth.keys.views import plain, public_entry
from extauth.management import KeyManagement
from extauth.moving.pages import collect
from extauth.settings.values import format_duration
from extauth.stores.base import AuditEntry, AuditFilter

_TITLES = ("TIME", "ACTOR", "SOURCE", "ACTION", "KEY ID", "CHANGE")
# What tells most about a key where its whole record is new, and about a ban that comes or goes.
_TELLING = ("user_id", "name", "tier", "scopes", "rotated_from", "subject", "ends_at", "reason")


@click.group("audit")
def audit_group() -> None:
    """Look at the log of all changes, and trim it."""


@audit_group.command("list")
@click.option("--key-id", help="Only changes of this key.")
@click.option("--actor", help="Only changes by whoever has this name.")
@click.option("--action", help="Only changes of this kind, such as key.revoked.")
@click.option(
    "--since",
    callback=read_when,
    metavar="WHEN",
    help="From then on: 7d ago, or a time such as 2027-01-31T12:00:00Z.",
)
@click.option("--until", callback=read_when, metavar="WHEN", help="Before then, in the same forms.")
@page_limit_option()
@cursor_option
@as_json_option
@click.pass_context
def list_entries(
    context: click.Context,
    *,
    key_id: str | None,
    actor: str | None,
    action: str | None,
    since: datetime | timedelta | None,
    until: datetime | timedelta | None,
    limit: int,
    cursor: str | None,
    as_json: bool,
) -> None:
    """List changes, newest first."""
    wanted = AuditFilter(
        key_id=key_id,
        actor=actor,
        action=action,
        since=None if since is None else ago(since),
        until=None if until is None else ago(until),
    )

    async def work(management: KeyManagement) -> tuple[list[AuditEntry], str | None]:
        async def read(cursor: str | None, limit: int) -> tuple[Sequence[AuditEntry], str | None]:
            page = await management.service.audit(wanted, cursor=cursor, limit=limit)
            return page.entries, page.next_cursor

        return await collect(read, cursor=cursor, limit=limit)

    entries, next_cursor = run(settings_of(context), work)
    if as_json:
        print_json({"entries": [public_entry(entry) for entry in entries], "next_cursor": next_cursor})
        return
    print_table(_TITLES, (_row(entry) for entry in entries), whole="KEY ID")
    if next_cursor:
        click.echo(f"More: --cursor {next_cursor}", err=True)


@audit_group.command("trim")
@as_json_option
@click.pass_context
def trim(context: click.Context, *, as_json: bool) -> None:
    """Forget entries that are older than audit.retention says. Nothing else ever removes one."""
    settings = settings_of(context)
    retention = settings.audit.retention
    before = now() - retention
    trimmed = run(settings, lambda management: management.store.trim_audit(before))
    if as_json:
        print_json({"trimmed": trimmed, "before": plain(before)})
    else:
        click.echo(f"Forgot what is older than {format_duration(retention)}: {trimmed} of the entries.")


def _row(entry: AuditEntry) -> tuple[str, ...]:
    return (plain(entry.at), entry.actor, entry.source, entry.action, entry.key_id, _change(entry))


def _change(entry: AuditEntry) -> str:
    if not entry.before or not entry.after:
        whole = entry.after or entry.before
        telling = (name for name in _TELLING if whole.get(name) is not None)
        return ", ".join(f"{name} {_value(whole[name])}" for name in telling)
    names = dict.fromkeys([*entry.before, *entry.after])
    changes = (f"{name} {_value(entry.before.get(name))} → {_value(entry.after.get(name))}" for name in names)
    return ", ".join(changes)


def _value(value: object) -> str:
    return "none" if value in (None, "", [], {}) else shown(value)
