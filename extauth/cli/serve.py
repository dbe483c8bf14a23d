"""`extauth serve`: run the service."""

from __future__ import annotations

import click

from extauth.settings.load import load_from_environment


@click.command("serve")
@click.pass_context
def serve_command(context: click.Context) -> None:
    """Answer proxies until SIGTERM or Ctrl-C. Logs go to standard output as JSON lines.

    The configuration is loaded again when its file changes, and on SIGHUP.
    """
    # Imported here, because the other commands needn't wait for the web stack.
    from extauth.server.run import serve  # noqa: PLC0415

    config = context.obj["config"]
    serve(load_from_environment(config), config=config)
