"""`extauth keys update`, `disable` and `enable`: changes that can be taken back."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import click

from extauth.cli.opening import actor, run, settings_of
from extauth.cli.options import (
    as_json_option,
    exclusive,
    expires_option,
    from_now,
    limits_option,
    metadata_option,
    never_expires_option,
    own_limits,
    quota_option,
)
from extauth.cli.output import print_json, print_record
from extauth.errors import InvalidInputError
from extauth.keys.asked import UNSET, KeyChange
from extauth.keys.views import public
from extauth.management import KeyManagement
from extauth.model import ApiKey


@click.command("update")
@click.argument("key_id")
@click.option("--name", help="What the key is for, for people.")
@click.option("--tier", help="The tier whose limits apply.")
@click.option("--scope", "scopes", multiple=True, help="The scopes instead of those it has. Repeatable.")
@click.option("--add-scope", multiple=True, help="One more scope. Repeatable.")
@click.option("--remove-scope", multiple=True, help="One scope less. Repeatable.")
@expires_option
@never_expires_option
@limits_option
@quota_option
@click.option("--tier-limits", is_flag=True, help="Its tier's limits again, instead of its own.")
@metadata_option
@as_json_option
@click.pass_context
def update(
    context: click.Context,
    *,
    key_id: str,
    name: str | None,
    tier: str | None,
    scopes: tuple[str, ...],
    add_scope: tuple[str, ...],
    remove_scope: tuple[str, ...],
    expires: datetime | timedelta | None,
    never_expires: bool,
    rates: list[object],
    quota: object,
    tier_limits: bool,
    metadata: dict[str, object] | None,
    as_json: bool,
) -> None:
    """Change what a key is called and may do.

    Scopes, limits and metadata that are given replace those it has.
    """
    exclusive(expires=expires, never_expires=never_expires)
    exclusive(limit=rates, tier_limits=tier_limits)
    exclusive(quota=quota is not None, tier_limits=tier_limits)
    exclusive(scope=scopes, add_scope=add_scope)
    exclusive(scope=scopes, remove_scope=remove_scope)
    change = KeyChange(
        name=UNSET if name is None else name,
        tier=UNSET if tier is None else tier,
        scopes=scopes or UNSET,
        expires_at=None if never_expires else UNSET if expires is None else from_now(expires),
        limits=own_limits(rates, quota) if rates or quota is not None or tier_limits else UNSET,
        metadata=UNSET if metadata is None else metadata,
    )
    if change == KeyChange() and not add_scope and not remove_scope:
        raise click.UsageError("nothing to change: give at least one option")
    updated = run(
        settings_of(context), lambda management: _update(management, key_id, change, add_scope, remove_scope)
    )
    print_json(public(updated)) if as_json else print_record(updated)


async def _update(
    management: KeyManagement, key_id: str, change: KeyChange, more: tuple[str, ...], less: tuple[str, ...]
) -> ApiKey:
    service = management.service
    if not more and not less:
        return await service.update(key_id, change, actor())
    record = await service.get(key_id)
    if missing := [scope for scope in less if scope not in record.scopes]:
        held = " ".join(record.scopes) or "none"
        mistake = f"the key doesn't hold {', '.join(missing)}; its scopes are: {held}"
        raise InvalidInputError.of([("remove_scope", mistake)])
    scopes = tuple(scope for scope in (*record.scopes, *more) if scope not in less)
    # What was read must be what is changed, or somebody's change meanwhile would be lost.
    return await service.update(
        key_id, replace(change, scopes=scopes), actor(), expected_version=record.version
    )


@click.command("disable")
@click.argument("key_id")
@as_json_option
@click.pass_context
def disable(context: click.Context, *, key_id: str, as_json: bool) -> None:
    """Refuse a key until it is enabled again."""
    record = run(settings_of(context), lambda management: management.service.disable(key_id, actor()))
    if as_json:
        print_json(public(record))
    elif record.revoked_at is None:
        click.echo(f"Disabled {record.hint}.")
    else:
        click.echo(f"{record.hint} is revoked already.")


@click.command("enable")
@click.argument("key_id")
@as_json_option
@click.pass_context
def enable(context: click.Context, *, key_id: str, as_json: bool) -> None:
    """Let a disabled key pass again. A revoked one stays revoked."""
    record = run(settings_of(context), lambda management: management.service.enable(key_id, actor()))
    print_json(public(record)) if as_json else click.echo(f"Enabled {record.hint}.")
