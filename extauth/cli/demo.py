"""`extauth demo`: see it work, with real proxies in front of a sample API."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from extauth.demo.ports import Ports, option


def _port(name: str, purpose: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    default = Ports().by_name()[name]
    kind = click.IntRange(1, 65_535)
    return click.option(
        option(name), name, type=kind, default=default, show_default=True, metavar="PORT", help=purpose
    )


@click.command("demo")
@click.option(
    "--directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(".demo"),
    show_default=True,
    help="Where settings, keys and logs of the demo go.",
)
@_port("envoy", "Envoy, for clients.")
@_port("nginx", "nginx, for clients.")
@_port("upstream", "The sample API.")
@_port("check", "extauth, for the proxies.")
@_port("admin", "extauth's metrics and health.")
@_port("completion", "extauth, for ends of requests.")
@_port("envoy_admin", "Envoy's admin page.")
def demo_command(*, directory: Path, **ports: int) -> None:
    """Run extauth, Envoy, nginx and a sample API here, until Ctrl-C.

    Prints curl lines to paste and shows the decisions live. It has settings and keys of its own, whatever
    --config and the environment say.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Paths of requests are shown, and may hold what this terminal's encoding doesn't.
        sys.stdout.reconfigure(errors="replace")
    # Imported here, because the other commands needn't wait for it.
    from rich.console import Console  # noqa: PLC0415

    from extauth.demo.run import run_demo  # noqa: PLC0415

    run_demo(directory=directory, ports=Ports(**ports), console=Console(highlight=False))
