"""`extauth doctor`: looks an installation over, and says what is to be mended. It changes nothing."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from extauth.cli.opening import CLOCK
from extauth.cli.options import as_json_option
from extauth.cli.output import print_json, printable
from extauth.errors import ConfigError
from extauth.settings.load import config_file, load_from_environment

if TYPE_CHECKING:
    from extauth.doctor.findings import Finding


@click.command("doctor")
@as_json_option
@click.pass_context
def doctor_command(context: click.Context, *, as_json: bool) -> None:
    """Look over store, clocks, secrets, the running server, its proxies' reports, the system and security.

    A line for each finding; exit code 1 where one is bad.
    """
    # Imported here, because the other commands needn't wait for it.
    from extauth.doctor.diagnosis import diagnose  # noqa: PLC0415
    from extauth.doctor.findings import Finding, Level  # noqa: PLC0415

    option = context.obj["config"]
    try:
        settings = load_from_environment(option)
    except ConfigError as error:
        mend = "Mend it; nothing else can be looked at before."
        findings = [Finding("configuration", Level.BAD, f"{problem}.", mend) for problem in error.problems]
    else:
        findings = asyncio.run(diagnose(settings, config_file(option), CLOCK))
    is_bad = any(finding.level is Level.BAD for finding in findings)
    if as_json:
        print_json({"healthy": not is_bad, "findings": [finding.plain() for finding in findings]})
    else:
        _print(findings)
    sys.exit(1 if is_bad else 0)


def _print(findings: Sequence[Finding]) -> None:
    for finding in findings:
        line = f"{finding.level.value:<4} {finding.examination:<13} {finding.said} {finding.mend}"
        click.echo(printable(line.rstrip()))
