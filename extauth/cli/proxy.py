"""`extauth proxy`: print a proxy's configuration for the settings in force, or look through another one."""

from __future__ import annotations

from pathlib import Path

import click

from extauth.cli.opening import settings_of
from extauth.cli.options import as_json_option
from extauth.cli.output import print_json, printable
from extauth.errors import ConflictError
from extauth.proxies.checking.findings import UnreadableError
from extauth.proxies.checking.looking import CHECKS, is_fine, look_through
from extauth.proxies.facts import Facts, facts_of
from extauth.proxies.printing import KINDS, Printed, places_of, print_configuration
from extauth.proxies.spelling import is_name
from extauth.settings.values import Address, parse_address

_UNREADABLE = 2


def _read_address(_context: click.Context, _option: click.Parameter, text: str | None) -> Address | None:
    try:
        return None if text is None else parse_address(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _read_own_address(context: click.Context, option: click.Parameter, text: str | None) -> Address | None:
    """Read an address that a proxy listens on: those of a machine have no name."""
    address = _read_address(context, option, text)
    if address is not None and (address.is_unix or is_name(address) or not address.port):
        raise click.BadParameter(f"{text!r} is not an IP address with a port, such as 0.0.0.0:8080")
    return address


@click.command("proxy")
@click.argument("proxy", type=click.Choice(list(KINDS)))
@click.option(
    "--upstream", callback=_read_address, metavar="HOST:PORT", help="The API. Default: 127.0.0.1:8082."
)
@click.option(
    "--listen",
    callback=_read_own_address,
    metavar="IP:PORT",
    help="Where clients connect. Default: as the shipped file has it.",
)
@click.option(
    "--internal",
    callback=_read_own_address,
    metavar="IP:PORT",
    help="Where Envoy has its admin page, and HAProxy its own way to extauth. Keep it on loopback.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Write the files there instead of printing them.",
)
@click.option("--overwrite", is_flag=True, help="Replace files that are there already.")
@click.option(
    "--check",
    "checked",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Name what is unsafe or missing in this configuration of Envoy or nginx instead.",
)
@as_json_option
@click.pass_context
def proxy_command(
    context: click.Context,
    *,
    proxy: str,
    upstream: Address | None,
    listen: Address | None,
    internal: Address | None,
    output: Path | None,
    overwrite: bool,
    checked: Path | None,
    as_json: bool,
) -> None:
    """Print the configuration with which a proxy asks extauth, for the settings in force.

    It is whole: the proxy runs with it as it is, in front of the API at --upstream.

    With --check it names what is unsafe or missing in a configuration that there is. Exit codes then: 0
    nothing is, 1 something is, 2 it can't be read.
    """
    if checked is not None:
        if any((upstream, listen, internal, output, overwrite)):
            raise click.UsageError("--check goes with --json alone")
        _check(proxy, checked, facts_of(settings_of(context)), as_json=as_json)
        return
    if internal is not None and not KINDS[proxy].internal:
        raise click.UsageError(
            f"--internal is for Envoy and HAProxy; {KINDS[proxy].title} listens for clients only"
        )
    places = places_of(proxy, listen=listen, upstream=upstream, internal=internal)
    printed = print_configuration(proxy, settings_of(context), places)
    if output is not None:
        _write(printed, output, overwrite=overwrite)
    if as_json:
        print_json({"files": dict(printed.files), "warnings": list(printed.warnings)})
        return
    if output is None:
        _print(printed)
    for warning in printed.warnings:
        click.echo(f"{KINDS[proxy].title}: {warning}.", err=True)


def _check(proxy: str, file: Path, facts: Facts, *, as_json: bool) -> None:
    if proxy not in CHECKS:
        raise click.UsageError(f"--check reads configurations of {' and '.join(CHECKS)}, not of {proxy}")
    try:
        findings = look_through(proxy, file, facts)
    except UnreadableError as error:
        click.echo(f"extauth: {printable(str(error))}", err=True)
        raise SystemExit(_UNREADABLE) from None
    if as_json:
        print_json({"fine": is_fine(findings), "findings": [finding.plain() for finding in findings]})
    else:
        for finding in findings:
            click.echo(printable(f"{finding.severity} {finding.code}: {finding.where}"))
            click.echo(f"  {printable(finding.wrong)}\n  instead: {printable(finding.instead)}")
        if is_fine(findings):
            click.echo(f"{printable(str(file))}: nothing unsafe or missing")
    if not is_fine(findings):
        raise SystemExit(1)


def _print(printed: Printed) -> None:
    if len(printed.files) == 1:
        click.echo("".join(printed.files.values()), nl=False)
        return
    for name, text in printed.files.items():
        click.echo(f"#### {name}\n{text}")
    click.echo(f"{len(printed.files)} files: --output FOLDER writes them.", err=True)


def _write(printed: Printed, folder: Path, *, overwrite: bool) -> None:
    """Write all files, or none where one is there already and says something else."""
    others = [
        name
        for name, text in printed.files.items()
        if (folder / name).exists() and (folder / name).read_text(encoding="utf-8") != text
    ]
    if others and not overwrite:
        raise ConflictError(
            f"{folder} holds {', '.join(others)} with another content: --overwrite replaces it"
        )
    for name, text in printed.files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
