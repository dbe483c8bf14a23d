"""`extauth explain`: what would come of a request, and why. It takes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from extauth.cli.keys.limits import print_standings, source_of, tell_source
from extauth.cli.opening import CLOCK, run, settings_of
from extauth.cli.options import as_json_option
from extauth.cli.output import print_fields, print_json, printable
from extauth.management import KeyManagement, open_limit_states

if TYPE_CHECKING:
    from extauth.reporting.explained import Explanation


@click.command("explain")
@click.argument("method")
@click.argument("url")
@click.option("--key-id", default="", help="The id of the key that it comes with, never the key itself.")
@click.option("--client-ip", default="", help="The address that it comes from.")
@click.option(
    "--proxy",
    type=click.Choice(("envoy", "nginx", "forward")),
    default="envoy",
    help="Whose answer is shown to people, forward for Traefik and Caddy; the JSON has all. Default: envoy.",
)
@as_json_option
@click.pass_context
def explain_command(
    context: click.Context, *, method: str, url: str, key_id: str, client_ip: str, proxy: str, as_json: bool
) -> None:
    """Say what would come of a request: route, scopes, key, limits, decision, headers.

    Nothing is taken, counted or logged.
    """
    # Imported here, because the other commands needn't wait for all that checks consist of.
    from extauth.compiled import explainer  # noqa: PLC0415
    from extauth.reporting.explained import Question  # noqa: PLC0415

    settings = settings_of(context)
    question = Question(method=method, url=url, key_id=key_id, client_ip=client_ip)

    async def work(management: KeyManagement) -> Explanation:
        async with open_limit_states(settings.store, clock=CLOCK) as states:
            return await explainer(settings, management.store, states, CLOCK).explain(question)

    explanation = run(settings, work)
    if as_json:
        print_json({**explanation.plain(), "source": source_of(settings)})
        return
    _print(explanation, proxy)
    if explanation.limits or explanation.in_flight:
        tell_source(settings)


def _print(explanation: Explanation, proxy: str) -> None:
    told = explanation.plain()
    request, route, key, decision = (told[name] for name in ("request", "route", "key", "decision"))
    print_fields(
        {
            "request": f"{request['method']} {request['host']}{request['path']}",
            "from": request["client_ip"],
            "route": f"{route['name'] or 'none'} ({route['access']})",
            "why": route["why"],
            "key": "none" if key is None else _key(key),
            **{f"scopes {name}": scopes for name, scopes in told["scopes"].items()},
            "decision": f"{decision['status']} {decision['code']}",
            "reason": decision["reason"],
            "refused by": decision["violated"],
            "shadow refusals": decision["shadowed"],
        }
    )
    if explanation.limits or explanation.in_flight:
        click.echo()
        print_standings(explanation.limits, explanation.in_flight)
    answer = told["answers"][proxy]
    click.echo(f"\n{proxy} gets {answer['status']}")
    for header in answer["headers"]:
        click.echo(printable(f"{header['name']}: {header['value']}"))


def _key(key: dict[str, Any]) -> str:
    known = f"{key['hint']}, user {key['user_id']}, tier {key['tier']}: {key['state']}"
    return f"{known}; {key['problem']}" if key["problem"] else known
