"""The command line's entry: the root command, and how faults end it."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from extauth import __version__
from extauth.cli.audit import audit_group
from extauth.cli.bans import bans_group
from extauth.cli.completion import completion_command
from extauth.cli.config import config_group
from extauth.cli.demo import demo_command
from extauth.cli.doctor import doctor_command
from extauth.cli.explain import explain_command
from extauth.cli.keys.group import keys_group
from extauth.cli.limits import limits_group
from extauth.cli.migrate import migrate_command
from extauth.cli.pepper import pepper_group
from extauth.cli.proxy import proxy_command
from extauth.cli.serve import serve_command
from extauth.cli.usage import usage_command
from extauth.errors import ConfigError, ExtauthError, InvalidInputError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The YAML file with the settings. Default: $EXTAUTH_CONFIG, else the defaults alone.",
)
@click.version_option(__version__, prog_name="extauth")
@click.pass_context
def root(context: click.Context, config: Path | None) -> None:
    """API keys, scopes and rate limits for Envoy, nginx, Traefik, Caddy and HAProxy."""
    context.obj = {"config": config}


root.add_command(serve_command)
root.add_command(keys_group)
root.add_command(bans_group)
root.add_command(audit_group)
root.add_command(explain_command)
root.add_command(limits_group)
root.add_command(usage_command)
root.add_command(pepper_group)
root.add_command(migrate_command)
root.add_command(config_group)
root.add_command(doctor_command)
root.add_command(proxy_command)
root.add_command(demo_command)
root.add_command(completion_command)


def _config_first(arguments: list[str]) -> list[str]:
    """Let `--config` stand behind the command too, where people look for it.

    `extauth serve --config FILE`.
    """
    for position, argument in enumerate(arguments):
        if argument == "--":
            break
        length = 2 if argument == "--config" else 1 if argument.startswith("--config=") else 0
        if length:
            end = position + length
            return [*arguments[position:end], *arguments[:position], *arguments[end:]]
    return arguments


# The options whose name is not that of the field.
_OPTIONS = {
    "expires_at": "expires",
    "lifetime": "expires",
    "limits": "limit",
    "never": "never_expires",
    "scopes": "scope",
    "to": "until",
}


def _place(field: str) -> str:
    """Return the option that a mistake is about, as it is typed."""
    return f"--{_OPTIONS.get(field, field).replace('_', '-')}: " if field else ""


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 a fault told on stderr, 2 wrong usage."""
    try:
        root.main(_config_first(sys.argv[1:]), prog_name="extauth")
    except ConfigError as error:
        for problem in error.problems:
            click.echo(problem, err=True)
        sys.exit(1)
    except InvalidInputError as error:
        for field, message in error.mistakes:
            click.echo(f"extauth: {_place(field)}{message}", err=True)
        sys.exit(1)
    except ExtauthError as error:
        click.echo(f"extauth: {error}", err=True)
        sys.exit(1)
