"""What commands print: JSON for programs, records and tables for people; and what they ask first."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import click
import orjson

from extauth.errors import ExtauthError
from extauth.keys.views import public
from extauth.model import ApiKey

# A program that reads the table wants one line for each row, however long.
_PIPED_WIDTH = 2_000


def print_json(value: Any) -> None:
    """Print a value for programs."""
    click.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2, default=dict).decode())


def print_record(record: ApiKey) -> None:
    """Print a record for people: what is set, a field a line."""
    print_fields(public(record))


def print_fields(fields: Mapping[str, Any]) -> None:
    """Print what is set of some fields, one a line."""
    width = max((len(name) for name in fields), default=0)
    for name, value in fields.items():
        if value not in (None, {}, [], ""):
            click.echo(f"{name:<{width}} {shown(value)}")


def shown(value: Any) -> str:
    """Return a value as people read it on one line."""
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        text = " ".join(value)
    elif isinstance(value, str):
        text = value
    else:
        text = orjson.dumps(value, default=dict).decode()
    return printable(text)


def counted(number: int, what: str) -> str:
    """Return how many there are of something: `1 key`, `2 keys`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def printable(text: str) -> str:
    """Replace what isn't printable: terminals obey escape sequences."""
    return text if text.isprintable() else "".join(char if char.isprintable() else "·" for char in text)


def print_table(titles: Sequence[str], rows: Iterable[Sequence[str]], *, whole: str) -> None:
    """Print a table. The column `whole` is never wrapped: what stands there is there to be copied."""
    from rich.console import Console  # noqa: PLC0415 - the other commands needn't wait for it
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in titles:
        table.add_column(title, overflow="fold", no_wrap=title == whole)
    for row in rows:
        # As text, because a name may hold brackets, which are markup to rich.
        table.add_row(*(Text(printable(cell)) for cell in row))
    console = Console()
    if not console.is_terminal:
        console.width = _PIPED_WIDTH
    console.print(table)


def confirm(question: str, *, yes: bool) -> None:
    """Ask before what can't be undone, and end with exit code 1 unless the answer is yes.

    Without a terminal nobody can answer, and a pipe that stays open would keep the command for ever.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise ExtauthError(
            f"{question} Nobody can be asked here, because this is no terminal: --yes goes on without asking."
        )
    click.confirm(question, abort=True, err=True)


def ends_at(key: ApiKey) -> datetime | None:
    """Return when a key stops working: its expiry, or the end of its grace where that comes first."""
    return min((end for end in (key.expires_at, key.grace_until) if end is not None), default=None)


def state_of(key: ApiKey, now: datetime) -> str:
    """Return in a word whether a key works, and why not."""
    if key.revoked_at is not None:
        return "revoked"
    if not key.active:
        return "disabled"
    if key.grace_until is not None and key.grace_until <= now:
        return "rotated"
    if key.expires_at is not None and key.expires_at <= now:
        return "expired"
    return "active" if key.grace_until is None else "in grace"
