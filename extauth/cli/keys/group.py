"""`extauth keys …`: manage keys on the store directly, beside a running server or without one."""

from __future__ import annotations

import click

from extauth.cli.keys.change import disable, enable, update
from extauth.cli.keys.end import purge, revoke
from extauth.cli.keys.issue import create, rotate
from extauth.cli.keys.limits import limits, reset_limits
from extauth.cli.keys.look import grace, list_keys, show
from extauth.cli.keys.move import export_keys, import_keys


@click.group("keys")
def keys_group() -> None:
    """Create, list, change, rotate, revoke and move keys."""


for _command in (
    create,
    list_keys,
    show,
    update,
    disable,
    enable,
    revoke,
    rotate,
    grace,
    limits,
    reset_limits,
    purge,
    export_keys,
    import_keys,
):
    keys_group.add_command(_command)
