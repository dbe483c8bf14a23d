"""`extauth keys create` and `rotate`: the two commands that print a key, each this once."""

from __future__ import annotations

from datetime import datetime, timedelta

import click

from extauth.cli.opening import actor, run, settings_of
from extauth.cli.options import (
    as_json_option,
    exclusive,
    expires_option,
    limits_option,
    metadata_option,
    never_expires_option,
    own_limits,
    quota_option,
    read_grace,
    scopes_option,
    yes_option,
)
from extauth.cli.output import confirm, print_fields, print_json, print_record
from extauth.errors import StoreError
from extauth.keys.asked import IssuedKey, NewKey
from extauth.keys.views import plain, public
from extauth.management import KeyManagement
from extauth.model import ApiKey


@click.command("create")
@click.option("--user-id", required=True, help="Whose key it is; the upstream gets it as X-Auth-User-Id.")
@click.option("--name", required=True, help="What the key is for, for people.")
@click.option("--tier", help="The tier whose limits apply. Default: keys.default_tier.")
@scopes_option
@click.option("--environment", help="Shown in the key's text. Default: keys.default_environment.")
@expires_option
@never_expires_option
@limits_option
@quota_option
@metadata_option
@as_json_option
@click.pass_context
def create(
    context: click.Context,
    *,
    user_id: str,
    name: str,
    tier: str | None,
    scopes: tuple[str, ...],
    environment: str | None,
    expires: datetime | timedelta | None,
    never_expires: bool,
    rates: list[object],
    quota: object,
    metadata: dict[str, object] | None,
    as_json: bool,
) -> None:
    """Make a key and print it. It is shown this once: the store keeps only a hash."""
    exclusive(expires=expires, never_expires=never_expires)
    settings = settings_of(context)
    new = NewKey(
        user_id=user_id,
        name=name,
        tier=tier or settings.keys.default_tier,
        environment=environment or settings.keys.default_environment,
        scopes=scopes,
        lifetime=expires if isinstance(expires, timedelta) else None,
        expires_at=expires if isinstance(expires, datetime) else None,
        never=never_expires,
        limits=own_limits(rates, quota),
        metadata=metadata or {},
    )
    issued = run(settings, lambda management: management.service.create(new, actor()))
    if as_json:
        print_json({**public(issued.record), "key": issued.text})
        return
    print_record(issued.record)
    _print_key(issued.text)


@click.command("rotate")
@click.argument("key_id")
@click.option(
    "--grace",
    callback=read_grace,
    metavar="DURATION",
    help="How long the old key goes on working, such as 24h; 0 ends it at once. Default: keys.default_grace.",
)
@yes_option
@as_json_option
@click.pass_context
def rotate(context: click.Context, *, key_id: str, grace: timedelta | None, yes: bool, as_json: bool) -> None:
    """Make a new key with the settings of this one, which goes on working for the grace."""
    settings = settings_of(context)
    if grace == timedelta(0) and not yes:
        record = run(settings, lambda management: management.service.get(key_id))
        confirm(f"Rotate {record.hint} and end it at once, whoever still uses it?", yes=yes)

    async def work(management: KeyManagement) -> tuple[IssuedKey, ApiKey | None]:
        issued = await management.service.rotate(key_id, actor(), grace=grace)
        try:
            return issued, await management.store.get(key_id)
        except StoreError:
            # The new key exists, and is told here or never.
            return issued, None

    issued, old = run(settings, work)
    grace_until = None if old is None else plain(old.grace_until)
    if as_json:
        print_json({**public(issued.record), "key": issued.text, "old_key_works_until": grace_until})
        return
    print_fields({**public(issued.record), "old key works until": grace_until})
    _print_key(issued.text)
    click.echo(f"Who still uses the old key: extauth keys grace {key_id}", err=True)


def _print_key(text: str) -> None:
    click.echo(f"\n{text}\n")
    click.echo("Keep it safe: it is shown this once and can't be recovered.", err=True)
