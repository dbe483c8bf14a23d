"""What the demo tells: where everything is, and the lines to paste. It starts nothing and reads nothing."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from extauth.demo.lines import heading
from extauth.demo.ports import Ports
from extauth.demo.service import FREE_BURST, FREE_PER_MINUTE, DemoKeys
from extauth.demo.terminal import say


class Try(NamedTuple):
    """One line to paste, and what it will show."""

    status: int
    shows: str
    line: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What the story is about: the proxies' names and ports, the keys, and where the files are."""

    proxies: dict[str, int]
    ports: Ports
    keys: DemoKeys
    directory: Path
    command: str
    """How to call extauth on the demo's configuration."""


def tell(console: Console, setting: Setting) -> None:
    """Print the whole story."""
    fronts = " and ".join(f"{name} on {_url(port)}" for name, port in setting.proxies.items())
    say(console, f"extauth is running: {fronts} ask it about every request to a sample API.", "bold")
    say(console, "Paste these lines into another terminal; the comments may come along.", "bold")
    for name, port in setting.proxies.items():
        for attempt in attempts(_url(port), setting.keys):
            say(console, f"\n# {attempt.status} through {name}: {attempt.shows}", "bold")
            say(console, attempt.line)
    for shows, line in more(setting):
        say(console, f"\n# {shows}", "bold")
        say(console, line)
    say(console, f"\nMetrics: {_url(setting.ports.admin)}/metrics", "dim")
    say(console, f"Settings and logs: {setting.directory}", "dim")
    say(console, "Ctrl-C stops everything. Decisions, as they are made:\n", "bold")
    say(console, heading())


def attempts(base: str, keys: DemoKeys) -> Iterator[Try]:
    """Yield the four answers that every API consumer meets."""
    orders = f"{base}/v1/orders"
    yield Try(
        200,
        "alice's key is valid. The upstream learns who calls, and never sees the key.",
        f"curl -i {_key(keys.pro.text)} {orders}",
    )
    yield Try(401, "no key. The problem body says how to send one.", f"curl -i {orders}")
    yield Try(
        403,
        "alice's key lacks the scope that this path needs.",
        f"curl -i {_key(keys.pro.text)} {base}/v1/admin/users",
    )
    yield Try(
        429,
        f"bob's tier allows {FREE_BURST} at once, {FREE_PER_MINUTE} a minute. The last call is refused.",
        f"for i in {' '.join(str(i + 1) for i in range(FREE_BURST + 1))}; "
        f"do curl -i {_key(keys.free.text)} {orders}; done",
    )


def more(setting: Setting) -> Iterator[tuple[str, str]]:
    """Yield what else is worth trying, through the first proxy."""
    base = _url(next(iter(setting.proxies.values())))
    admin = setting.keys.admin
    call = f"curl -i {_key(admin.text)} -H 'X-Auth-User-Id: mallory' {base}/v1/admin/users"
    yield "More: carol's key may do everything, but not claim to be somebody else.", call
    revoke = f"{setting.command} keys revoke {admin.record.key_id} --yes"
    yield "More: once revoked, that key is refused by the next check. Call again with the line above.", revoke


def _key(text: str) -> str:
    return f"-H {shlex.quote(f'X-API-Key: {text}')}"


def _url(port: int) -> str:
    return f"http://127.0.0.1:{port}"
