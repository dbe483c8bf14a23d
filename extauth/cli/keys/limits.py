"""`extauth keys limits` and `reset-limits`: how much of its limits a key has left, and giving it back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from extauth.cli.opening import CLOCK, actor, run, settings_of
from extauth.cli.options import as_json_option, yes_option
from extauth.cli.output import confirm, print_json, print_table
from extauth.management import KeyManagement, open_limit_states
from extauth.settings.model import Settings

if TYPE_CHECKING:
    from extauth.reporting.standing import InFlight, KeyStandings, Standing

_TITLES = ("LIMIT", "ORIGIN", "PER", "POLICY", "COST", "LEFT", "RESET", "STATE")
_TITLES_IN_FLIGHT = ("LIMIT", "ORIGIN", "PER", "IN FLIGHT", "MAY WAIT", "EXPIRES AFTER")
BEHIND = "Read from the archive: at most a second behind a running server."


@click.command("limits")
@click.argument("key_id")
@as_json_option
@click.pass_context
def limits(context: click.Context, *, key_id: str, as_json: bool) -> None:
    """Show how the limits of a key stand, for requests that cost 1 and whose route sets none."""
    # Imported here, because the other commands needn't wait for all that checks consist of.
    from extauth.compiled import key_limits  # noqa: PLC0415

    settings = settings_of(context)

    async def work(management: KeyManagement) -> KeyStandings:
        async with open_limit_states(settings.store, clock=CLOCK) as states:
            return await key_limits(settings, management.store, states, CLOCK).look(key_id)

    standings = run(settings, work)
    if as_json:
        print_json({**standings.plain(), "source": source_of(settings)})
        return
    if standings.problem:
        click.echo(f"Nobody can say what its limits are: {standings.problem}.")
    elif not standings.limits and not standings.in_flight:
        click.echo("No limits.")
    else:
        print_standings(standings.limits, standings.in_flight)
    tell_source(settings)


@click.command("reset-limits")
@click.argument("key_id")
@yes_option
@as_json_option
@click.pass_context
def reset_limits(context: click.Context, *, key_id: str, yes: bool, as_json: bool) -> None:
    """Forget what a key has spent of the limits that count it alone.

    Those that it shares with the other keys of its user, or with everybody, stay as they are. With the
    embedded store only while no server runs: a running one does it through its admin API.
    """
    from extauth.compiled import key_limits  # noqa: PLC0415 - see `limits`

    settings = settings_of(context)
    if not yes:
        record = run(settings, lambda management: management.service.get(key_id))
        confirm(f"Forget what {record.hint} ({record.name}, user {record.user_id}) has spent?", yes=yes)

    async def work(management: KeyManagement) -> tuple[str, ...]:
        async with open_limit_states(settings.store, clock=CLOCK, to_change=True) as states:
            return await key_limits(settings, management.store, states, CLOCK).reset(key_id, actor())

    names = run(settings, work)
    if as_json:
        print_json({"key_id": key_id, "reset": names})
    else:
        click.echo(f"Reset: {', '.join(names)}." if names else "No limit counts this key alone.")


def source_of(settings: Settings) -> str:
    """Return where the command line reads limits, in a word for programs."""
    return "archive" if settings.store.is_embedded else "redis"


def tell_source(settings: Settings) -> None:
    """Tell people how old the numbers may be."""
    if settings.store.is_embedded:
        click.echo(BEHIND, err=True)


def print_standings(standings: Sequence[Standing], in_flight: Sequence[InFlight]) -> None:
    """Print limits as a table, and those on requests in flight as another."""
    if standings:
        print_table(_TITLES, (_row(standing.plain()) for standing in standings), whole="LIMIT")
    if in_flight:
        if standings:
            click.echo()
        print_table(_TITLES_IN_FLIGHT, (_row_in_flight(limit.plain()) for limit in in_flight), whole="LIMIT")


def _row_in_flight(told: dict[str, Any]) -> tuple[str, ...]:
    names = ("name", "origin", "per")
    now = "?" if told["in_flight"] is None else str(told["in_flight"])
    waiting = f"{told['queue']} for {told['wait_ms']} ms"
    return (
        *(str(told[name]) for name in names),
        f"{now} of {told['max']}",
        waiting,
        f"{told['expires_seconds']} s",
    )


def _row(told: dict[str, Any]) -> tuple[str, ...]:
    names = ("name", "origin", "per", "policy", "cost")
    return (*(str(told[name]) for name in names), _left(told), _reset(told), _state(told))


def _left(told: dict[str, Any]) -> str:
    return "?" if told["remaining"] is None else f"{told['remaining']} of {told['capacity']}"


def _reset(told: dict[str, Any]) -> str:
    return "" if told["reset_seconds"] is None else f"{told['reset_seconds']} s"


def _state(told: dict[str, Any]) -> str:
    if told["would_refuse"] is None:
        return "depends on the address" if told["per"] == "ip" else "depends on the route"
    state = f"refuses for {told['retry_seconds']} s" if told["would_refuse"] else "has room"
    return f"shadow: {state}" if told["shadow"] else state
