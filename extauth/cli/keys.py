"""`extauth keys …`: manage keys on the store directly, beside a running server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, TypeVar

import click
import orjson

from extauth.app import KeyManagement, open_key_management
from extauth.clock import SystemClock, to_us
from extauth.keys.service import NewKey
from extauth.model import ApiKey
from extauth.settings.load import load_from_environment
from extauth.settings.model import Settings
from extauth.settings.values import parse_duration

Result = TypeVar("Result")
# A program that reads the table wants one line for each key, however long.
_PIPED_WIDTH = 2_000
_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


@click.group("keys")
def keys_group() -> None:
    """Create, list, show and revoke keys."""


@keys_group.command("create")
@click.option("--user-id", required=True, help="Whose key it is; the upstream gets it as X-Auth-User-Id.")
@click.option("--name", required=True, help="What the key is for, for people.")
@click.option("--tier", help="The tier whose limits apply. Default: keys.default_tier.")
@click.option(
    "--scope", "scopes", multiple=True, help="What the key may do, such as orders:read. Repeatable."
)
@click.option("--environment", help="Shown in the key's text. Default: keys.default_environment.")
@click.option("--expires", metavar="DURATION", help="When it ends, from now: 90d, 12h. Default: never.")
@_as_json
@click.pass_context
def create(
    context: click.Context,
    *,
    user_id: str,
    name: str,
    tier: str | None,
    scopes: tuple[str, ...],
    environment: str | None,
    expires: str | None,
    as_json: bool,
) -> None:
    """Make a key and print it. It is shown this once: the store keeps only a hash."""
    settings = _settings(context)
    new = NewKey(
        user_id=user_id,
        name=name,
        tier=tier or settings.keys.default_tier,
        environment=environment or settings.keys.default_environment,
        scopes=scopes,
        lifetime=None if expires is None else _lifetime(expires),
    )
    issued = _run(settings, lambda management: management.service.create(new))
    if as_json:
        _print_json({**_public(issued.record), "key": issued.text})
        return
    _print_record(issued.record)
    click.echo(f"\n{issued.text}\n")
    click.echo("Keep it safe: it is shown this once and can't be recovered.", err=True)


@keys_group.command("list")
@click.option("--user-id", help="Only the keys of this user.")
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="How many at most."
)
@click.option("--cursor", help="Where to go on: the cursor that the page before ended with.")
@_as_json
@click.pass_context
def list_keys(
    context: click.Context, *, user_id: str | None, limit: int, cursor: str | None, as_json: bool
) -> None:
    """List keys, oldest first."""
    page = _run(
        _settings(context),
        lambda management: management.service.list(user_id=user_id, cursor=cursor, limit=limit),
    )
    if as_json:
        _print_json({"keys": [_public(key) for key in page.keys], "next_cursor": page.next_cursor})
        return
    _print_table(page.keys)
    if page.next_cursor:
        click.echo(f"More: --cursor {page.next_cursor}", err=True)


@keys_group.command("show")
@click.argument("key_id")
@_as_json
@click.pass_context
def show(context: click.Context, *, key_id: str, as_json: bool) -> None:
    """Show one key's record."""
    record = _run(_settings(context), lambda management: management.service.get(key_id))
    _print_json(_public(record)) if as_json else _print_record(record)


@keys_group.command("revoke")
@click.argument("key_id")
@click.option("--yes", is_flag=True, help="Don't ask.")
@_as_json
@click.pass_context
def revoke(context: click.Context, *, key_id: str, yes: bool, as_json: bool) -> None:
    """End a key for good. A running server refuses it within 0.2 s."""
    settings = _settings(context)
    if not yes:
        record = _run(settings, lambda management: management.service.get(key_id))
        click.confirm(
            f"Revoke {record.hint} ({record.name}, user {record.user_id}) for good?", abort=True, err=True
        )
    revoked = _run(settings, lambda management: management.service.revoke(key_id))
    _print_json(_public(revoked)) if as_json else click.echo(f"Revoked {revoked.hint}.")


def _settings(context: click.Context) -> Settings:
    return load_from_environment(context.obj["config"])


def _run(settings: Settings, work: Callable[[KeyManagement], Awaitable[Result]]) -> Result:
    async def run() -> Result:
        async with open_key_management(settings, clock=SystemClock()) as management:
            return await work(management)

    return asyncio.run(run())


def _lifetime(text: str) -> Any:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--expires") from error


def _public(record: ApiKey) -> dict[str, Any]:
    """Return what may be shown of a record: everything but the hash. Times are RFC 3339 in UTC."""
    names = [name for name in ApiKey.__dataclass_fields__ if name != "hashed_key"]
    return {name: _plain(getattr(record, name)) for name in names}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds").replace("+00:00", "Z")
    return list(value) if isinstance(value, tuple) else value


def _print_json(value: Any) -> None:
    click.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2, default=dict).decode())


def _print_record(record: ApiKey) -> None:
    for name, value in _public(record).items():
        if value not in (None, {}, []):
            click.echo(f"{name:<13} {' '.join(value) if isinstance(value, list) else value}")


def _state(key: ApiKey) -> str:
    if key.revoked_at is not None:
        return "revoked"
    if not key.active:
        return "disabled"
    return (
        "expired"
        if key.expires_at is not None and to_us(key.expires_at) <= SystemClock().now_us()
        else "active"
    )


def _print_table(keys: tuple[ApiKey, ...]) -> None:
    from rich.console import Console  # noqa: PLC0415 - the other commands needn't wait for it
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("KEY ID", "USER", "NAME", "TIER", "SCOPES", "STATE", "EXPIRES"):
        # An id is there to be copied.
        table.add_column(title, overflow="fold", no_wrap=title == "KEY ID")
    for key in keys:
        state = _state(key)
        expires = _plain(key.expires_at) or "never"
        cells = (key.key_id, key.user_id, key.name, key.tier, " ".join(key.scopes), state, expires)
        # As text, because a name may hold brackets, which are markup to rich.
        table.add_row(*map(Text, cells))
    console = Console()
    if not console.is_terminal:
        console.width = _PIPED_WIDTH
    console.print(table)
