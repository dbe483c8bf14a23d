"""`extauth config`: check a configuration, show what is in force, print its schema. It changes nothing."""

from __future__ import annotations

import json
from pathlib import Path

import click
import yaml

from extauth.errors import ConfigError
from extauth.settings.load import config_file, load_from_environment
from extauth.settings.model import Settings
from extauth.settings.reference import Reference
from extauth.settings.schema import effective, settings_schema


@click.group("config")
def config_group() -> None:
    """Check and show the configuration."""


@config_group.command()
@click.pass_context
def check(context: click.Context) -> None:
    """Look for mistakes in the file and the environment, and name all of them."""
    _load(context)
    click.echo(f"{config_file(_option(context)) or 'defaults and environment'}: fine")


@config_group.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of YAML.")
@click.pass_context
def show(context: click.Context, *, as_json: bool) -> None:
    """Print the settings in force, defaults included and secrets hidden."""
    values = effective(_load(context))
    if as_json:
        click.echo(json.dumps(values, indent=2))
    else:
        click.echo(yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=110), nl=False)


@config_group.command()
def schema() -> None:
    """Print the JSON Schema of a configuration file, for editors that complete and check as you type."""
    click.echo(json.dumps(settings_schema(), indent=2))


@config_group.command()
def reference() -> None:
    """Print the reference of all settings of this version, in Markdown."""
    click.echo(Reference(settings_schema()).markdown(), nl=False)


def _option(context: click.Context) -> Path | None:
    option: Path | None = context.obj["config"]
    return option


def _load(context: click.Context) -> Settings:
    try:
        return load_from_environment(_option(context))
    except ConfigError as error:
        for problem in error.problems:
            click.echo(problem, err=True)
        raise SystemExit(1) from None
