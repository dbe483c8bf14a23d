"""How far a long command has come: a bar on a terminal, a line now and then elsewhere, both on stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

_LINES = 10


@contextmanager
def progress(title: str, total: int, *, quiet: bool = False) -> Iterator[Callable[[], None]]:
    """Give a function to call after each item. `quiet` prints nothing, for programs."""
    if quiet or not total:
        yield lambda: None
    elif sys.stderr.isatty():
        with _bar(title, total) as advance:
            yield advance
    else:
        yield _lines(title, total)


@contextmanager
def _bar(title: str, total: int) -> Iterator[Callable[[], None]]:
    from rich.console import Console  # noqa: PLC0415 - the other commands needn't wait for it
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=total)
        yield lambda: bar.advance(task)


def _lines(title: str, total: int) -> Callable[[], None]:
    step = max(1, total // _LINES)
    done = 0

    def advance() -> None:
        nonlocal done
        done += 1
        if done % step == 0 or done == total:
            click.echo(f"{title}: {done} of {total}", err=True)

    return advance
