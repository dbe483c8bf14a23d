"""Options that several commands share, and how their texts are read."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import click
import orjson

from extauth.cli.opening import now
from extauth.moving.fields import parse_time
from extauth.settings.document import Document, read_document
from extauth.settings.values import parse_duration

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]
_DATE = re.compile(r"[0-9]{4}-")
_NOTHING = re.compile(r"0(?:ms|s|m|h|d)?")
LONGEST_PAGE = 1_000
DEFAULT_PAGE = 100


def read_span(_context: click.Context, _option: click.Parameter, text: str | None) -> timedelta | None:
    """Read a duration such as 90d or 12h."""
    try:
        return None if text is None else parse_duration(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def read_grace(context: click.Context, option: click.Parameter, text: str | None) -> timedelta | None:
    """Read a duration that may also be none at all."""
    if text is not None and _NOTHING.fullmatch(text):
        return timedelta(0)
    return read_span(context, option, text)


def read_when(
    context: click.Context, option: click.Parameter, text: str | None
) -> datetime | timedelta | None:
    """Read a time in RFC 3339, or a duration, which is from now or ago as the option means it."""
    if text is None or not _DATE.match(text):
        return read_span(context, option, text)
    try:
        return parse_time(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def from_now(when: datetime | timedelta) -> datetime:
    """Return the time that is meant, if a duration is from now."""
    return when if isinstance(when, datetime) else now() + when


def ago(when: datetime | timedelta) -> datetime:
    """Return the time that is meant, if a duration ends now."""
    return when if isinstance(when, datetime) else now() - when


def read_metadata(
    _context: click.Context, _option: click.Parameter, texts: tuple[str, ...]
) -> dict[str, object] | None:
    """Read `name=value` and objects of JSON into one; what is given last holds. None where none is given."""
    if not texts:
        return None
    metadata: dict[str, object] = {}
    for text in texts:
        if text.startswith("{"):
            try:
                # Text that begins with a brace can be nothing but an object.
                metadata |= orjson.loads(text)
            except orjson.JSONDecodeError as error:
                raise click.BadParameter(f"is not JSON: {error}") from None
            continue
        name, sign, value = text.partition("=")
        if not name or not sign:
            raise click.BadParameter(f"{text!r} is neither NAME=VALUE nor an object of JSON")
        metadata[name] = value
    return metadata


def read_rates(_context: click.Context, _option: click.Parameter, texts: tuple[str, ...]) -> list[object]:
    """Read rates as the settings write them: `10/second`, or `{rate: 10/second, name: other}`."""
    rates: list[object] = []
    for text in texts:
        # Text that begins with a brace can be nothing but a mapping.
        document = read_document(text) if text.startswith("{") else Document(text)
        if document.mistakes:
            raise click.BadParameter("; ".join(mistake.message for mistake in document.mistakes))
        rates.append(document.value)
    return rates


def read_quota(context: click.Context, option: click.Parameter, text: str | None) -> object:
    """Read a quota as the settings write it: `100000/month`, or a mapping. None where none is given."""
    return None if text is None else read_rates(context, option, (text,))[0]


def own_limits(rates: list[object], quota: object) -> dict[str, object]:
    """Return the limits of a key's own, as records hold them."""
    limits: dict[str, object] = {"rates": rates} if rates else {}
    return limits if quota is None else {**limits, "quota": quota}


def exclusive(**given: Any) -> None:
    """End with wrong usage where more than one of these options was given, by their parameters' names."""
    names = [f"--{name.replace('_', '-')}" for name, value in given.items() if value]
    if len(names) > 1:
        raise click.UsageError(f"{' and '.join(names)} can't be given together")


as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
yes_option = click.option("--yes", is_flag=True, help="Don't ask.")
scopes_option = click.option(
    "--scope", "scopes", multiple=True, help="What the key may do, such as orders:read. Repeatable."
)
limits_option = click.option(
    "--limit",
    "rates",
    callback=read_rates,
    multiple=True,
    metavar="RATE",
    help="A rate of the key's own instead of its tier's, such as '10/second burst 20'. Repeatable.",
)
quota_option = click.option(
    "--quota",
    callback=read_quota,
    metavar="QUOTA",
    help="A quota of the key's own, beside its own rates and instead of its tier's limits: 100000/month.",
)
metadata_option = click.option(
    "--metadata",
    callback=read_metadata,
    multiple=True,
    metavar="NAME=VALUE",
    help="Something to note about the key; also an object of JSON. Repeatable.",
)
expires_option = click.option(
    "--expires",
    callback=read_when,
    metavar="WHEN",
    help="When it ends: 90d or 12h from now, or a time such as 2027-01-31T12:00:00Z.",
)
never_expires_option = click.option("--never-expires", is_flag=True, help="It never ends.")
cursor_option = click.option("--cursor", help="Where to go on: the cursor that the page before ended with.")


def page_limit_option(default: int | None = DEFAULT_PAGE) -> Decorator:
    """Return the option that bounds a page."""
    return click.option(
        "--limit",
        type=click.IntRange(1, LONGEST_PAGE),
        default=default,
        help=f"How many at most. Default: {DEFAULT_PAGE}.",
    )
