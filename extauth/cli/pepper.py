"""`extauth pepper status`: which keys need which pepper, and when an old one can be dropped."""

from __future__ import annotations

from collections.abc import Sequence

import click

from extauth.cli.opening import run, settings_of
from extauth.cli.options import as_json_option
from extauth.cli.output import print_json, print_table
from extauth.keys.asked import PepperStatus

_NOT_NOTED = "(not noted)"


@click.group("pepper")
def pepper_group() -> None:
    """Look after the secrets that keys are tagged under."""


@pepper_group.command("status")
@as_json_option
@click.pass_context
def status(context: click.Context, *, as_json: bool) -> None:
    """Show how many keys need which pepper. No pepper is shown, only its id."""
    peppers = run(settings_of(context), lambda management: management.service.pepper_status())
    if as_json:
        print_json({"peppers": [_plain(pepper, peppers) for pepper in peppers]})
        return
    rows = (
        (
            pepper.pepper_id or _NOT_NOTED,
            str(pepper.keys),
            "yes" if pepper.configured else "-" if not pepper.pepper_id else "no",
            "yes" if pepper.signs else "no",
        )
        for pepper in peppers
    )
    print_table(("PEPPER", "KEYS", "CONFIGURED", "SIGNS NEW KEYS"), rows, whole="PEPPER")
    click.echo()
    for pepper in peppers:
        if sentence := _advice(pepper, peppers):
            click.echo(sentence)
    for warning in warnings_of(peppers):
        click.echo(f"Warning: {warning}", err=True)


def warnings_of(peppers: Sequence[PepperStatus]) -> list[str]:
    """Say which keys don't work because their pepper is missing."""
    return [
        f"the pepper {pepper.pepper_id} is not configured, so the keys that need it don't work: "
        f"{pepper.keys} of them. Put it back among keys.peppers; if it is lost, keys.accept_untagged lets "
        "all but imported ones work until they are rotated."
        for pepper in peppers
        if pepper.keys and pepper.pepper_id and not pepper.configured
    ]


def _plain(pepper: PepperStatus, peppers: Sequence[PepperStatus]) -> dict[str, object]:
    return {
        "pepper_id": pepper.pepper_id,
        "keys": pepper.keys,
        "configured": pepper.configured,
        "signs": pepper.signs,
        "can_be_dropped": _can_be_dropped(pepper, peppers),
    }


def _can_be_dropped(pepper: PepperStatus, peppers: Sequence[PepperStatus]) -> bool:
    return pepper.configured and not pepper.signs and not pepper.keys and not _unnoted(peppers)


def _unnoted(peppers: Sequence[PepperStatus]) -> int:
    """Return how many living keys may need any pepper, because nobody noted which."""
    return sum(pepper.keys for pepper in peppers if not pepper.pepper_id)


def _advice(pepper: PepperStatus, peppers: Sequence[PepperStatus]) -> str:
    if not pepper.pepper_id:
        return f"Keys of which nobody noted the pepper: {pepper.keys}. They may need any of them."
    if pepper.signs:
        return f"New keys are made under the pepper {pepper.pepper_id}."
    if not pepper.configured:
        return ""
    if _can_be_dropped(pepper, peppers):
        return f"The pepper {pepper.pepper_id} can be dropped: no living key needs it."
    if pepper.keys:
        return (
            f"The pepper {pepper.pepper_id} can be dropped once the keys that need it ({pepper.keys}) are "
            "revoked; rotate them first, so that their owners have new ones."
        )
    return f"The pepper {pepper.pepper_id} can't be dropped while there are keys of which nobody knows it."
