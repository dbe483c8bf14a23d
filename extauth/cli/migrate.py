"""`extauth migrate`: all records and their usage from one store to another, while servers go on."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any, NamedTuple

import click
from pydantic import ValidationError

from extauth.cli.opening import CLOCK, actor, settings_of
from extauth.cli.options import as_json_option, yes_option
from extauth.cli.output import confirm, counted, print_json
from extauth.cli.progress import progress
from extauth.management import open_store, open_usage
from extauth.moving.migration import Migration, MigrationReport
from extauth.moving.usage import move_usage
from extauth.settings.model import Settings, StoreSettings
from extauth.stores.base import KeyStore

_LEFT_BEHIND = (
    "The audit log and the state of limits stay where they are: only records of keys and usage were copied."
)


@click.command("migrate")
@click.option("--from", "source_url", metavar="URL", help="The store to read. Default: store.url.")
@click.option("--to", "target_url", metavar="URL", help="The store to write. Default: store.url.")
@click.option("--dry-run", is_flag=True, help="Only count what would be done.")
@yes_option
@as_json_option
@click.pass_context
def migrate_command(
    context: click.Context,
    *,
    source_url: str | None,
    target_url: str | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Copy all records and usage from one store to another; run it again to go on, or to catch up.

    Every key goes on working, since hashes are copied as they are. Exit code 1 where the stores still differ.
    """
    settings = settings_of(context)
    source = _store(settings, source_url, "--from")
    target = _store(settings, target_url, "--to")
    if _place(source) == _place(target):
        raise click.UsageError("--from and --to are the same store")
    if not _exists(source):
        raise click.BadParameter(f"there is no file {source.path}", param_hint="--from")
    if not dry_run and not _exists(target):
        # It may be a slip of the pen: servers would go on with the store that was meant.
        confirm(f"There is no store {target.path} yet. Make it?", yes=yes)
    done = asyncio.run(_migrate(source, target, dry_run=dry_run, yes=yes, as_json=as_json))
    _tell(done, dry_run=dry_run, as_json=as_json)
    if not dry_run and not done.report.is_complete:
        raise SystemExit(1)


class _Done(NamedTuple):
    report: MigrationReport
    peppers: Mapping[str, int]
    usage: int


async def _migrate(
    source: StoreSettings, target: StoreSettings, *, dry_run: bool, yes: bool, as_json: bool
) -> _Done:
    async with AsyncExitStack() as stack:
        source_store = await stack.enter_async_context(open_store(source))
        # A dry run must not make the file by opening it.
        target_store = None
        if _exists(target) or not dry_run:
            target_store = await stack.enter_async_context(open_store(target))
        if target_store is not None and not dry_run and not yes and await target_store.count():
            await _ask(source_store, target_store)
        migration = Migration(source_store, target_store, by=actor(), clock=CLOCK, dry_run=dry_run)
        with progress("Compared" if dry_run else "Copied", await source_store.count(), quiet=as_json) as done:
            report = await migration.run(done)
        counts = await _move_usage(source, target, dry_run=dry_run)
        return _Done(report, await source_store.peppers(), counts)


async def _move_usage(source: StoreSettings, target: StoreSettings, *, dry_run: bool) -> int:
    async with open_usage(source, to_read=True) as here, open_usage(target, to_read=dry_run) as there:
        return await move_usage(here, there, CLOCK, dry_run=dry_run)


async def _ask(source: KeyStore, target: KeyStore) -> None:
    """Ask before a store is written to that holds something else than an unfinished copy."""
    planned = await Migration(source, target, by=actor(), clock=CLOCK, dry_run=True).run(lambda: None)
    if not (planned.only_in_target or planned.updated or planned.differing):
        return
    confirm(
        f"The target holds {counted(planned.target, 'key')} already. "
        f"Not in the source: {planned.only_in_target}. Would be brought up to date: {planned.updated}. "
        f"Differ, and would be left as they are: {len(planned.differing)}. Copy into it?",
        yes=False,
    )


def _tell(done: _Done, *, dry_run: bool, as_json: bool) -> None:
    report = done.report
    if as_json:
        print_json(_plain(done, dry_run=dry_run))
        return
    for difference in report.differing:
        click.echo(f"key {difference.key_id} {difference.why}; left as it is in the target", err=True)
    click.echo(
        f"{'To be added' if dry_run else 'Added'}: {report.added}. "
        f"{'To be brought' if dry_run else 'Brought'} up to date: {report.updated}. "
        f"There already: {report.same}. Left as they are, because they differ: {len(report.differing)}."
    )
    click.echo(f"Counts of usage {'to be added' if dry_run else 'added'}: {done.usage}.")
    found = f"Keys in the source: {report.source}; in the target: {report.target}"
    if dry_run:
        click.echo(f"{found}.")
        return
    click.echo(f"{found}; the same in both: {report.equal}.")
    if needed := [
        f"{pepper_id} ({counted(keys, 'key')})" for pepper_id, keys in done.peppers.items() if pepper_id
    ]:
        click.echo(f"Servers on the target need the peppers of the source: {', '.join(needed)}.")
    click.echo(_LEFT_BEHIND)
    if not report.is_complete:
        click.echo(f"extauth: {_why_incomplete(report)}", err=True)


def _plain(done: _Done, *, dry_run: bool) -> dict[str, Any]:
    report = done.report
    return {
        "dry_run": dry_run,
        "added": report.added,
        "updated": report.updated,
        "same": report.same,
        "differing": [{"key_id": one.key_id, "why": one.why} for one in report.differing],
        "source_keys": report.source,
        "target_keys": report.target,
        "equal_keys": None if dry_run else report.equal,
        "complete": None if dry_run else report.is_complete,
        "peppers": dict(done.peppers),
        "usage_counts": done.usage,
    }


def _why_incomplete(report: MigrationReport) -> str:
    if report.differing:
        records = counted(len(report.differing), "record")
        return f"the stores differ: {records} in the target can't be brought up to date"
    if report.equal < report.source:
        return "the stores differ: keys were changed in the source meanwhile; run this again"
    return f"the stores differ: {counted(report.target - report.source, 'key')} in the target only"


def _store(settings: Settings, url: str | None, option: str) -> StoreSettings:
    if url is None or url == settings.store.url:
        return settings.store
    # How a Redis is reached besides its URL is set once, in the section of the store.
    others = {name: getattr(settings.store, name) for name in StoreSettings.model_fields if name != "url"}
    try:
        store = StoreSettings(url=url)
        if not store.is_embedded and store.redis.password:
            others["password_file"] = None
        return StoreSettings(url=url, **others)
    except ValidationError as error:
        messages = (mistake["msg"].removeprefix("Value error, ") for mistake in error.errors())
        raise click.BadParameter("; ".join(messages), param_hint=option) from None


def _exists(store: StoreSettings) -> bool:
    return not store.is_embedded or store.path.exists()


def _place(store: StoreSettings) -> object:
    return store.path.resolve() if store.is_embedded else store.url
