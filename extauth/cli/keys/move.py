"""`extauth keys export` and `import`: all records to a file and back, and keys of other systems in."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import click

from extauth.cli.opening import actor, run, settings_of
from extauth.cli.options import as_json_option
from extauth.cli.output import counted, print_json
from extauth.cli.pepper import warnings_of
from extauth.cli.progress import progress
from extauth.errors import ExtauthError
from extauth.management import KeyManagement
from extauth.moving.exporting import export, private_file
from extauth.moving.importing import ImportOutcome, KeyImport, Plan
from extauth.moving.reading import KeyLine, LineMistake, LineReader
from extauth.settings.model import Settings

_STANDARD_INPUT = "-"


@click.command("export")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The file to write, readable by its owner only. Default: standard output.",
)
@click.option("--with-hashes", is_flag=True, help="With the argon2id hashes, so that it can be read back.")
@click.pass_context
def export_keys(context: click.Context, *, out: Path | None, with_hashes: bool) -> None:
    """Write all records as lines of JSON, oldest first."""
    if with_hashes:
        warning = "Warning: with the hashes, an export is as sensitive as the store itself. Keep it as safe."
        click.echo(warning, err=True)
    settings = settings_of(context)

    async def work(management: KeyManagement) -> int:
        if out is None:
            write = sys.stdout.buffer.write
            return await export(management.service, write, with_hashes=with_hashes)
        with private_file(out) as file:
            return await export(management.service, file.write, with_hashes=with_hashes)

    try:
        exported = run(settings, work)
    except OSError as error:
        raise ExtauthError(f"{out or 'standard output'}: {error.strerror or error}") from error
    click.echo(f"Exported {counted(exported, 'key')}.", err=True)


@click.command("import")
@click.argument(
    "file", type=click.Path(path_type=Path, exists=True, dir_okay=False, readable=True, allow_dash=True)
)
@click.option("--dry-run", is_flag=True, help="Look for mistakes, and write nothing.")
@as_json_option
@click.pass_context
def import_keys(context: click.Context, *, file: Path, dry_run: bool, as_json: bool) -> None:
    """Read lines of JSON: records that were exported with hashes, or keys of other systems.

    FILE - stands for standard input. All mistakes are told before anything is written. Run again, it passes
    over what is there already.
    """
    settings = settings_of(context)

    raw = _lines_of(file)
    done = run(
        settings, lambda management: _import(settings, management, raw, dry_run=dry_run, as_json=as_json)
    )
    if done.mistakes:
        _tell_mistakes(done.mistakes)
        raise SystemExit(1)
    _tell(done.outcome, done.warnings, dry_run=dry_run, as_json=as_json)
    if done.outcome.refused:
        raise SystemExit(1)


class _Done(NamedTuple):
    outcome: ImportOutcome
    mistakes: Sequence[LineMistake] = ()
    warnings: Sequence[str] = ()


async def _import(
    settings: Settings, management: KeyManagement, raw: Sequence[bytes], *, dry_run: bool, as_json: bool
) -> _Done:
    service = management.service
    lines, mistakes = _reader(settings, management).read(raw)
    moving = KeyImport(
        service=service,
        store=management.store,
        peppers=management.peppers,
        by=actor(),
        # No more than there are threads, so that the pool refuses none.
        at_once=management.hasher.threads,
    )
    plan = await moving.plan(lines)
    if found := [*mistakes, *plan.mistakes]:
        return _Done(plan.outcome, mistakes=found)
    if dry_run:
        return _Done(_planned(plan))
    with progress("Imported", len(plan.waiting), quiet=as_json) as done:
        outcome = await moving.write(plan, done)
    warnings = [*warnings_of(await service.pepper_status()), *_warnings(settings, lines)]
    return _Done(outcome, warnings=warnings)


def _reader(settings: Settings, management: KeyManagement) -> LineReader:
    return LineReader(
        service=management.service,
        by=actor(),
        tier=settings.keys.default_tier,
        environment=settings.keys.default_environment,
        imported=settings.keys.imported,
    )


def _lines_of(file: Path) -> list[bytes]:
    if str(file) == _STANDARD_INPUT:
        return sys.stdin.buffer.read().splitlines()
    try:
        return file.read_bytes().splitlines()
    except OSError as error:
        raise ExtauthError(f"{file}: {error.strerror or error}") from error


def _tell_mistakes(mistakes: Sequence[LineMistake]) -> None:
    for mistake in sorted(mistakes, key=lambda mistake: mistake.number):
        click.echo(str(mistake), err=True)
    lines = len({mistake.number for mistake in mistakes})
    click.echo(f"extauth: nothing was imported, because of mistakes on {counted(lines, 'line')}", err=True)


def _planned(plan: Plan) -> ImportOutcome:
    outcome = plan.outcome
    outcome.adopted = sum(line.adoption is not None for line in plan.waiting)
    outcome.restored = len(plan.waiting) - outcome.adopted
    return outcome


def _tell(outcome: ImportOutcome, warnings: Sequence[str], *, dry_run: bool, as_json: bool) -> None:
    for mistake in outcome.refused:
        click.echo(str(mistake), err=True)
    for warning in warnings:
        click.echo(f"Warning: {warning}", err=True)
    if as_json:
        print_json(
            {
                "adopted": outcome.adopted,
                "restored": outcome.restored,
                "known": outcome.known,
                "refused": [
                    {"line": mistake.number, "field": mistake.field, "message": mistake.message}
                    for mistake in outcome.refused
                ],
                "dry_run": dry_run,
            }
        )
        return
    took = "Would take in" if dry_run else "Took in"
    click.echo(
        f"{took} keys of other systems: {outcome.adopted}; exported records: {outcome.restored}. "
        f"There already: {outcome.known}. Left out: {len(outcome.refused)}."
    )


def _warnings(settings: Settings, lines: Sequence[KeyLine]) -> list[str]:
    """Say what keeps restored keys from working here, though their records are fine."""
    warnings = []
    unknown = sorted({line.record.tier for line in lines} - settings.tiers.keys())
    if unknown:
        warnings.append(f"keys have tiers that are not configured, and are refused: {', '.join(unknown)}")
    if not settings.keys.imported and any(line.record.imported for line in lines):
        warnings.append(
            "keys of other systems are among them, and keys.imported is off: nobody looks for them"
        )
    return warnings
