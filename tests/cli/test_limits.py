"""`extauth keys limits` and `reset-limits`, and `extauth explain`: on the archive of the embedded store."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from extauth.clock import SystemClock
from extauth.stores.base import AuditEntry, AuditFilter, KeyStore
from tests.keys import mint
from tests.shell import Shell
from tests.world import open_world

# A month, so that a test that stands still for a while sees no refill.
TIERS: dict[str, Any] = {"free": {"rates": ["5/30d", {"rate": "9/30d", "per": "user", "name": "user"}]}}
URL = "https://api.example.com/orders"


@pytest.fixture
def spent(shell: Shell) -> tuple[Shell, str, str]:
    """Give a shell, a key of which a server has counted two requests before it ended, and the key's id."""
    shell.configure(tiers=TIERS)
    made = shell.create("ada", "--tier", "free")
    assert shell.ask(made["key"], made["key"], tiers=TIERS) == [200, 200]
    return shell, made["key"], made["key_id"]


def left(shell: Shell, key_id: str) -> dict[str, int]:
    """Return what is left of each limit."""
    told = shell.run("keys", "limits", key_id, "--json").json
    assert (told["key_id"], told["source"]) == (key_id, "archive")
    return {limit["name"]: limit["remaining"] for limit in told["limits"]}


def test_limits_are_read_from_the_archive(spent: tuple[Shell, str, str]) -> None:
    """As the server left them, beside a running one too; people are told how old that may be."""
    shell, key, key_id = spent
    assert left(shell, key_id) == {"per-30d": 3, "user": 7}
    done = shell.run("keys", "limits", key_id)
    assert "3 of 5" in done.out
    assert "at most a second behind" in done.err

    async def beside() -> None:
        async with open_world(shell.folder / "data", clock=SystemClock(), tiers=TIERS) as world:
            assert (await world.ask(key=key)).status == 200
            await asyncio.sleep(1)
            assert await asyncio.to_thread(left, shell, key_id) == {"per-30d": 2, "user": 6}

    asyncio.run(beside())


def test_without_an_archive_nothing_was_spent(shell: Shell) -> None:
    """And none is made: it would belong to whoever looked."""
    shell.configure(tiers=TIERS)
    made = shell.create("ada", "--tier", "free")
    assert left(shell, made["key_id"]) == {"per-30d": 5, "user": 9}
    assert shell.run("keys", "reset-limits", made["key_id"], "--yes").code == 0
    assert list((shell.folder / "data").glob("*-limits*")) == []


def test_limits_on_requests_in_flight_are_shown(shell: Shell) -> None:
    """How many there are only a running server knows, whose memory the archive doesn't have."""
    shell.configure(tiers={"free": {"concurrency": {"max": 4, "queue": 8}}})
    key_id = shell.create("ada", "--tier", "free")["key_id"]
    asked = (("keys", "limits", key_id), ("explain", "GET", URL, "--key-id", key_id))
    for words in asked:
        (told,) = shell.run(*words, "--json").json["in_flight"]
        assert (told["name"], told["max"], told["in_flight"]) == ("concurrency", 4, None)
        line = next(line for line in shell.run(*words).out.splitlines() if line.startswith("concurrency"))
        assert re.split(" {2,}", line.strip())[-3:] == ["? of 4", "8 for 500 ms", "60 s"]


def test_a_reset_holds_for_the_next_server(spent: tuple[Shell, str, str]) -> None:
    """What the key alone spent is back, is audited under who did it, and other limits stay."""
    shell, _, key_id = spent
    done = shell.run("keys", "reset-limits", key_id, "--yes", "--json").json
    assert done == {"key_id": key_id, "reset": ["per-30d"]}
    assert left(shell, key_id) == {"per-30d": 5, "user": 7}

    async def entries(store: KeyStore) -> list[AuditEntry]:
        return list((await store.audit(AuditFilter(action="key.limits_reset"))).entries)

    (entry,) = shell.in_store(entries)
    assert entry.actor.startswith("cli:")
    assert (entry.key_id, entry.after) == (key_id, {"limits": ["per-30d"]})


def test_a_reset_is_asked_about_first(spent: tuple[Shell, str, str]) -> None:
    """It can't be taken back: without a yes nothing happens."""
    shell, _, key_id = spent
    assert shell.run("keys", "reset-limits", key_id).code == 1
    assert shell.run("keys", "reset-limits", key_id, answer="n\n").code == 1
    assert left(shell, key_id)["per-30d"] == 3
    assert shell.run("keys", "reset-limits", key_id, answer="y\n").code == 0
    assert left(shell, key_id)["per-30d"] == 5


def test_a_reset_beside_a_running_server_is_refused(spent: tuple[Shell, str, str]) -> None:
    """The server would not notice; whoever asks is told what does it instead. Nothing is audited."""
    shell, _, key_id = spent

    async def beside() -> None:
        async with open_world(shell.folder / "data", clock=SystemClock(), tiers=TIERS) as world:
            done = await asyncio.to_thread(shell.run, "keys", "reset-limits", key_id, "--yes")
            assert done.code == 1
            assert "a server is running" in done.err
            assert "POST /admin/v1/keys/<key id>/limits/reset" in done.err
            page = await world.management.store.audit(AuditFilter(action="key.limits_reset"))
            assert page.entries == ()

    asyncio.run(beside())
    assert left(shell, key_id)["per-30d"] == 3


def test_a_key_that_is_not_there(shell: Shell) -> None:
    """Has no limits to show or to reset."""
    shell.create()
    for command in (("keys", "limits"), ("keys", "reset-limits", "--yes")):
        done = shell.run(*command, "AAAAbbbb0000")
        assert (done.code, done.err) == (1, "extauth: no key 'AAAAbbbb0000'\n")


def test_a_request_is_explained(spent: tuple[Shell, str, str]) -> None:
    """With the limits as the archive has them; twice the same, since nothing is taken."""
    shell, _, key_id = spent
    for _ in range(2):
        told = shell.run("explain", "GET", URL, "--key-id", key_id, "--json").json
        assert told["decision"]["code"] == "allowed"
        assert [limit["remaining"] for limit in told["limits"]] == [3, 7]
    done = shell.run("explain", "--key-id", key_id, "GET", URL)
    assert done.code == 0
    assert "default (required)" in done.out
    assert "200 allowed" in done.out
    assert "x-auth-user-id: ada" in done.out
    assert "at most a second behind" in done.err


def test_a_request_without_a_key_is_explained(shell: Shell) -> None:
    """As any proxy would be answered."""
    done = shell.run("explain", "GET", URL, "--proxy", "nginx")
    assert "401 missing_key" in done.out
    assert "nginx gets 401" in done.out
    assert "x-extauth-status: 401" in done.out
    assert "forward gets 401" in shell.run("explain", "GET", URL, "--proxy", "forward").out
    assert shell.run("explain", "get", URL, "--json").json["decision"]["code"] == "ambiguous_path"


def test_a_key_in_the_wrong_place_is_not_repeated(shell: Shell) -> None:
    """Terminals and their logs keep what is printed."""
    text = mint()[0]
    for arguments in (("--key-id", text, "GET", URL), ("GET", f"{URL}?api_key={text}"), (text, URL)):
        done = shell.run("explain", *arguments)
        assert done.code == 1
        assert "looks like a key" in done.err
        assert text[-20:] not in done.out + done.err


def test_the_shadow_report(shell: Shell) -> None:
    """What a server counted until it ended, for people and for programs; without any, that there is none."""
    tiers = {"free": {"rates": [{"rate": "1/30d", "shadow": True}]}}
    shell.configure(tiers=tiers)
    assert "no limit in shadow would have refused" in shell.run("limits", "shadow-report").out
    made = shell.create("ada", "--tier", "free")
    assert shell.ask(*[made["key"]] * 3, tiers=tiers) == [200, 200, 200]
    told = shell.run("limits", "shadow-report", "--since", "7d", "--json").json
    (caller,) = told["callers"]
    assert (caller["limit"], caller["key_id"], caller["requests"]) == ("per-30d", made["key_id"], 2)
    people = shell.run("limits", "shadow-report")
    assert made["key_id"] in people.out
    assert people.err == ""
