"""What is where in Redis: other versions, other nodes and operators rely on these names."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import orjson
import pytest
from redis.crc import key_slot

from extauth.clock import to_us
from extauth.errors import StoreError
from extauth.stores.bans import Ban, Offender, Origin
from extauth.stores.base import Claim, KeyUse
from extauth.stores.redis import layout
from extauth.stores.shadowed import Place, ShadowedCount
from extauth.stores.usage import (
    HOUR,
    JOURNAL_KEPT_SECONDS,
    MOST_REFUSALS,
    REFUSALS_KEPT_SECONDS,
    STEPS,
    Page,
    Sheet,
)
from extauth.stores.usage import Place as Used
from tests.fakes import START
from tests.keys import entry, record
from tests.redis.server import RedisServer, opened
from tests.redis.state import everything
from tests.redis.usage import opened_usage
from tests.usage import NOON, batch, counts

KEY = "AAAAbbbb0001"
BAN = Ban("ip:192.0.2.7", Origin.AUTOMATIC, to_us(START), to_us(START) + 60_000_000)


def test_the_layout_to_the_letter(server: RedisServer) -> None:
    """Names, types and fields. Who changes one of them must bring what is stored along."""

    async def scenario() -> None:
        async with opened(server.url) as store:
            key = record(
                expires_at=START + timedelta(days=1),
                scopes=("a:read", "b"),
                metadata={"team": "é"},
                pepper_id="aa",
                tier="pro",
                user_id="al{i}ce",
            )
            await store.add(key, entry())
            await store.note_uses([KeyUse(key_id=KEY, last_used=START, calls={"192.0.2.1": 2})])
            claim = Claim(fingerprint="f", key_id=KEY, at=START)
            await store.claim("na{me}", claim, stale_before=START)
            place = Place("per-second", KEY, "/v1/{id}")
            await store.note_shadowed([ShadowedCount(day=START.date(), place=place, requests=3)])
            await store.note_bans([BAN])
            await store.note_offenders(
                "a", [Offender(BAN.subject, 30, BAN.began_us, {"malformed": 30})], BAN.began_us
            )

    asyncio.run(scenario())
    state = everything([server])
    (entry_id, fields) = state.pop("extauth:{journal}:audit")[0]
    (change,) = state["extauth:{journal}:audit-of:AAAAbbbb0001"]
    assert (entry_id, fields[:3]) == ("1-0", ["change", change, "entry"])
    created = "1772366400000000"
    assert len(state.pop("extauth:{journal}:ban-revision")) == 16
    assert state == {
        "extauth:{AAAAbbbb0001}:record": {
            "key_id": KEY,
            "hashed_key": key_hash(),
            "hint": "xa_live_AAAAbbbb0001_…wxyz",
            "user_id": "al{i}ce",
            "name": "the tests' key",
            "tier": "pro",
            "scopes": "a:read b",
            "environment": "live",
            "created_at": created,
            "active": "1",
            "expires_at": "1772452800000000",
            "last_used": created,
            "metadata": '{"team":"é"}',
            "pepper_id": "aa",
            "version": "1",
        },
        "extauth:{AAAAbbbb0001}:grace": {"192.0.2.1": "2"},
        "extauth:{user:al%7Bi%7Dce}:keys": {KEY: created},
        "extauth:{user:al%7Bi%7Dce}:unrevoked": {KEY: ""},
        "extauth:{keys}:all": {KEY: created},
        "extauth:{keys}:expiring": {KEY: "1772452800000000"},
        "extauth:{keys}:tier:pro": {KEY: created},
        "extauth:{keys}:pepper:aa": {KEY: ""},
        "extauth:{keys}:peppers": {"aa": ""},
        "extauth:{keys}:words": {
            f"{word}\0{KEY}": "0" for word in (f"i:{KEY}", "n:the tests' key", "u:al{i}ce")
        },
        "extauth:{journal}:audit-times": {"1": created},
        "extauth:{journal}:audit-last": "1",
        "extauth:{journal}:audit-of:AAAAbbbb0001": {change: "1"},
        "extauth:{journal}:bans": {
            "ip:192.0.2.7": '{"subject":"ip:192.0.2.7","origin":"automatic","began_us":1772366400000000,'
            '"ends_us":1772366460000000,"reason":"","actor":""}'
        },
        "extauth:{journal}:ban-ends": {"ip:192.0.2.7": "1772366460000000"},
        "extauth:{journal}:offenders": {
            "a": '[1772366400000000,[["ip:192.0.2.7",30,1772366400000000,{"malformed":30}]]]',
        },
        "extauth:{claim:na%7Bme%7D}": {"fingerprint": "f", "key_id": KEY, "at": created},
        "extauth:{shadowed}:2026-03-01": {f'["per-second","{KEY}","/v1/{{id}}"]': "3"},
    }
    for name in ("bans", "ban-ends", "ban-revision"):
        assert 24 * 3600 < server.ask("TTL", f"extauth:{{journal}}:{name}") <= 24 * 3600 + 60
    assert 0 < server.ask("TTL", "extauth:{journal}:offenders") <= 24 * 3600
    assert 0 < server.ask("TTL", "extauth:{shadowed}:2026-03-01") <= 31 * 24 * 3600
    assert 0 < server.ask("PTTL", "extauth:{claim:na%7Bme%7D}") <= 24 * 3600 * 1000


def test_the_layout_of_usage(server: RedisServer) -> None:
    """To the letter; all of it in one slot, and all of it ends by itself, at the earliest when it may."""

    async def scenario() -> None:
        async with opened_usage(server.url) as store:
            used = (Used(KEY, "al{i} ce", "pro", "orders"), counts(2, 1, 0, 0, 0, 33, n6=3))
            await store.add(batch(7, used, refusals={KEY: ["{}"]}))
            await store.add(batch(8, used, minute=NOON + 60))
            page = Page(f"{NOON}.1.0", Sheet([used[0]]), orjson.dumps([used[1]]))
            await store.note("p", 9, [page])

    asyncio.run(scenario())
    state = everything([server])
    minute, hour, day = 492_324, 20_513, 683
    once, twice = "[2,1,0,0,0,33,3]", "[4,2,0,0,0,66,6]"
    expected: dict[str, object] = {
        "extauth:{usage}:written:p": "9",
        "extauth:{usage}:journals": {"p": "9"},
        "extauth:{usage}:journal:p": {
            f"{NOON}.1.0": r'[["[\"pro\",\"orders\"]"],[["AAAAbbbb0001","al%7Bi%7D%20ce",1]],'
            "[[2,1,0,0,0,33,3,0,0,0,0,0,0,0,0,0,0,0,0,0]]]"
        },
        f"extauth:{{usage}}:refusals:{KEY}": ["{}"],
    }
    place = '["pro","orders"]'
    for kind, name in (("all", ""), ("sum", ""), ("key", KEY), ("user", "al%7Bi%7D%20ce")):
        where = '["",""]' if kind == "sum" else place
        expected[f"extauth:{{usage}}:1m:{kind}:{minute}:{name}"] = {f"0{where}": once, f"1{where}": once}
        expected[f"extauth:{{usage}}:1h:{kind}:{hour}:{name}"] = {f"12{where}": twice}
        expected[f"extauth:{{usage}}:1d:{kind}:{day}:{name}"] = {f"23{where}": twice}
        if name:
            for step, period in (("1m", minute), ("1h", hour), ("1d", day)):
                expected[f"extauth:{{usage}}:{step}:places:{kind}:{period}"] = {f"{name} {place}": "6"}
    assert state == expected
    assert len({key_slot(name.encode()) for name in state}) == 1
    kept = {step.name: step.kept + step.span for step in STEPS}
    kept |= {"written": 86_400, "refusals": REFUSALS_KEPT_SECONDS}
    kept |= dict.fromkeys(("journal", "journals"), JOURNAL_KEPT_SECONDS)
    for name in state:
        longest = kept[name.split(":")[2]]
        assert longest - 60 < server.ask("TTL", name) <= longest, name
    assert (HOUR.kept, MOST_REFUSALS) == (90 * 86_400, 50)


def key_hash() -> str:
    """Return the hash that the tests' records have."""
    return record().hashed_key


@pytest.mark.parametrize(
    "names",
    [
        (layout.record(KEY), layout.outbox(KEY), layout.grace(KEY), f"extauth:{{{KEY}}}:bucket"),
        (layout.record("a}b{c"), layout.outbox("a}b{c"), layout.grace("a}b{c")),
        (layout.keys_of_user("u}{"), layout.unrevoked_of_user("u}{")),
        (
            layout.ALL_KEYS,
            layout.EXPIRING,
            layout.REVOKED,
            layout.PEPPERS,
            layout.WORDS,
            layout.keys_of_tier("{pro}"),
            layout.keys_of_pepper("{p}"),
        ),
        (
            layout.UNDER_WAY,
            layout.AUDIT_ENTRIES,
            layout.AUDIT_TIMES,
            layout.AUDIT_LAST,
            layout.audit_of_key("{k}"),
            layout.BANS,
            layout.BAN_ENDS,
            layout.BAN_REVISION,
        ),
    ],
)
def test_what_one_script_touches_is_in_one_slot(names: Sequence[str]) -> None:
    """Whatever characters a name brings along."""
    assert len({key_slot(name.encode()) for name in names}) == 1


def test_names_that_differ_are_kept_apart() -> None:
    """Escaping maps no two names to one."""
    names = ["a", "a}", "a{", "a%7D", "a%", "%257D", "{a}", ""]
    for make in (layout.record, layout.keys_of_user, layout.claim):
        assert len({make(name) for name in names}) == len(names)


@pytest.mark.parametrize(
    "change",
    [("created_at", "soon"), ("limits", "{"), ("version", "x"), ("unknown", "1"), ("expires_at", "9" * 30)],
)
def test_a_record_that_nobody_wrote_is_a_fault_of_the_store(
    server: RedisServer, change: tuple[str, str]
) -> None:
    """With the key's id, and without what stands in it."""

    async def scenario() -> None:
        async with opened(server.url) as store:
            await store.add(record(), entry())
            server.ask("HSET", layout.record(KEY), *change)
            with pytest.raises(StoreError, match=f"the record of key {KEY} can't be read"):
                await store.get(KEY)

    asyncio.run(scenario())
