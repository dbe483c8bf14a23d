"""`extauth bans`: on the store directly, audited, for people and for programs."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

import pytest

from extauth.clock import SystemClock
from extauth.stores.bans import Ban, Offender, Origin
from extauth.stores.base import AuditEntry, KeyStore
from tests.keys import mint
from tests.shell import Shell


async def entries(store: KeyStore) -> list[AuditEntry]:
    """Return the audit log, oldest entry first."""
    return list((await store.audit()).entries)[::-1]


def test_a_ban_is_added_listed_and_lifted(shell: Shell) -> None:
    """Each change with who did it; what a list shows is what was added."""
    made = shell.run("bans", "add", "192.0.2.7", "--for", "24h", "--reason", "scans", "--json").json
    lasts = datetime.fromisoformat(made["ends_at"]) - datetime.fromisoformat(made["began_at"])
    assert (made["subject"], made["origin"], made["reason"]) == ("ip:192.0.2.7", "manual", "scans")
    assert lasts == timedelta(days=1)
    assert made["actor"].startswith("cli:")
    assert shell.run("bans", "list", "--json").json == {"bans": [made]}
    table = shell.run("bans", "list")
    assert (table.code, table.err) == (0, "")
    titles, row = (re.split(r"  +", line.strip()) for line in table.out.splitlines())
    shown = dict(zip(titles, row, strict=True))
    assert (shown["ID"], shown["SUBJECT"]) == (made["id"], "ip:192.0.2.7")
    assert (shown["BY"], shown["REASON"]) == (made["actor"], "scans")
    assert shell.run("bans", "lift", made["id"], "--json").json == made
    assert shell.run("bans", "list", "--json").json == {"bans": []}
    added, lifted = shell.in_store(entries)
    assert (added.action, lifted.action) == ("ban.added", "ban.lifted")
    assert added.after == lifted.before == {name: value for name, value in made.items() if name != "id"}
    assert (added.before, lifted.after, added.key_id) == ({}, {}, "")
    assert added.actor == lifted.actor == made["actor"]
    lines = shell.run("audit", "list").out.splitlines()[1:]
    assert [line.rstrip().endswith(f"ends_at {made['ends_at']}, reason scans") for line in lines] == [
        True
    ] * 2
    assert all("subject ip:192.0.2.7" in line for line in lines)


@pytest.mark.parametrize(
    ("given", "subject", "lift"),
    [
        ("2001:db8:1:2::/64", "ip:2001:db8:1:2::", "2001:db8:1:2::9"),
        ("2001:db8:1:2::9", "ip:2001:db8:1:2::", "ip:2001:db8:1:2::"),
        ("::ffff:192.0.2.7", "ip:192.0.2.7", "192.0.2.7/32"),
        ("ip:192.0.2.7", "ip:192.0.2.7", "ip:192.0.2.7"),
        ("key:AAAAbbbb0001", "key:AAAAbbbb0001", "key:AAAAbbbb0001"),
        ("user:a/b:c", "user:a/b:c", "user:a/b:c"),
    ],
)
def test_what_can_be_banned(shell: Shell, given: str, subject: str, lift: str) -> None:
    """And how it may be written, also to lift it again; a key's ban stands under its id in the log."""
    assert shell.run("bans", "add", given, "--for", "1h", "--json").json["subject"] == subject
    assert shell.run("bans", "lift", lift).out == f"Lifted the ban of {subject}.\n"
    key_ids = {entry.key_id for entry in shell.in_store(entries)}
    assert key_ids == {"AAAAbbbb0001" if given.startswith("key:") else ""}


@pytest.mark.parametrize(
    "given", ["192.0.2.0/24", "2001:db8::/32", "nobody", "key:a-b", "user:", "user:a b", "", "tier:free"]
)
def test_what_can_not(shell: Shell, given: str) -> None:
    """Nothing is written then, and the reason is told at its place."""
    done = shell.run("bans", "add", given, "--for", "1h")
    assert done.code == 1
    assert done.err.startswith("extauth: --subject: ")
    assert shell.in_store(entries) == []


def test_a_key_in_the_wrong_place_is_not_kept(shell: Shell) -> None:
    """Neither as whom to ban nor as the reason; it would stay in the audit log."""
    text = mint()[0]
    wrongly = (("add", text, "--for", "1h"), ("add", f"user:{text}", "--for", "1h"))
    for arguments in (*wrongly, ("add", "192.0.2.7", "--for", "1h", "--reason", text), ("lift", text)):
        done = shell.run("bans", *arguments)
        assert done.code == 1
        assert text[-20:] not in done.out + done.err
    assert shell.in_store(entries) == []


def test_a_ban_that_is_not_there(shell: Shell) -> None:
    """Lifting it is a fault that is told; one that is over counts as none."""

    async def over(store: KeyStore) -> None:
        now_us = SystemClock().now_us()
        await store.note_bans([Ban("ip:192.0.2.7", Origin.AUTOMATIC, now_us - 9, now_us - 1)])

    shell.in_store(over)
    for which in ("192.0.2.7", "nothing"):
        done = shell.run("bans", "lift", which)
        assert (done.code, done.err) == (1, f"extauth: there is no ban '{which}'; it may be over\n")
    assert shell.run("bans", "list", "--json").json == {"bans": []}


def test_a_ban_needs_an_end(shell: Shell) -> None:
    """Nobody bans for ever by forgetting an option."""
    assert shell.run("bans", "add", "192.0.2.7").code == 2
    assert shell.run("bans", "add", "192.0.2.7", "--for", "soon").code == 2


def test_who_fails_most(shell: Shell) -> None:
    """Of all processes together, the worst first, and why, the most frequent reason first."""

    async def fill(store: KeyStore) -> None:
        now_us = SystemClock().now_us()
        for process, reasons in (("a", {"malformed": 11, "expired": 9}), ("b", {"expired": 20})):
            address = Offender("ip:192.0.2.7", 20, now_us, reasons)
            key = Offender(f"key:{process}", 3, now_us, {"wrong secret": 3})
            await store.note_offenders(process, [address, key], now_us)

    shell.in_store(fill)
    found = shell.run("bans", "offenders", "--json").json["offenders"]
    assert [(one["subject"], one["failures"], [*one["reasons"].items()]) for one in found] == [
        ("ip:192.0.2.7", 40, [("expired", 29), ("malformed", 11)]),
        ("key:a", 3, [("wrong secret", 3)]),
        ("key:b", 3, [("wrong secret", 3)]),
    ]
    assert len(shell.run("bans", "offenders", "--limit", "1", "--json").json["offenders"]) == 1
    first = shell.run("bans", "offenders").out.splitlines()[1]
    assert first.startswith("ip:192.0.2.7 ")
    assert first.endswith("  expired 29, malformed 11")
