"""`extauth completion`: the script that lets a shell complete commands and options."""

from __future__ import annotations

import click
from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete

_VARIABLE = "_EXTAUTH_COMPLETE"
_SHELLS = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}


@click.command("completion")
@click.argument("shell", type=click.Choice(list(_SHELLS)))
@click.pass_context
def completion_command(context: click.Context, *, shell: str) -> None:
    """Print the completion script of a shell: bash, zsh or fish.

    In bash: eval "$(extauth completion bash)"
    """
    complete = _SHELLS[shell](context.find_root().command, {}, "extauth", _VARIABLE)
    # That of ShellComplete, because bash's own would run a bash to find out how old it is.
    click.echo(ShellComplete.source(complete))
