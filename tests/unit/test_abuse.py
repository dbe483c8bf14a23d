"""Who fails to authenticate again and again is refused, and nobody else is."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from extauth.abuse.monitor import MOST_BANS, AbuseMonitor
from extauth.model import Code, Decision
from extauth.settings.model import AbuseSettings
from tests.banning import ABUSE, ELSEWHERE, HERE, fail, guess, order, with_rig, wrong
from tests.checking import Rig
from tests.keys import entry, mint
from tests.sharing import SharedRig

MINUTE_US = 60_000_000


def codes(decisions: list[Decision]) -> list[Code]:
    """Return their codes."""
    return [decision.code for decision in decisions]


def test_the_failure_that_spends_the_budget_begins_a_ban() -> None:
    """The next request is 429 with an honest Retry-After, and passes when that is over."""

    async def scenario(rig: Rig) -> None:
        assert codes(await fail(rig, 5)) == [Code.INVALID_KEY] * 5
        rig.clock.advance(seconds=19, microseconds=1)
        (refused,) = await fail(rig, 1)
        assert (refused.code, refused.retry_after) == (Code.COOLING_DOWN, 41)
        assert (refused.route, refused.reason, refused.key) == ("default", "banned", None)
        rig.clock.advance(seconds=refused.retry_after)
        assert codes(await fail(rig, 1)) == [Code.INVALID_KEY]

    with_rig(scenario)


def test_bans_get_longer_up_to_the_longest_and_short_again_after_it() -> None:
    """1, 2, 4, 4 minutes; after 4 quiet ones it is 1 again."""

    async def scenario(rig: Rig) -> None:
        lasted = []
        for quiet in (0, 0, 0, 0, 240):
            rig.clock.advance(seconds=quiet)
            await fail(rig, 5)
            (refused,) = await fail(rig, 1)
            lasted.append(refused.retry_after)
            rig.clock.advance(seconds=refused.retry_after)
        assert lasted == [60, 120, 240, 240, 60]

    with_rig(scenario)


def test_failures_that_are_far_apart_begin_none() -> None:
    """Only those within one window are added up."""

    async def scenario(rig: Rig) -> None:
        for _ in range(6):
            assert codes(await fail(rig, 4)) == [Code.INVALID_KEY] * 4
            rig.clock.advance(seconds=60)
        assert rig.abuse.in_force == {}

    with_rig(scenario)


def test_every_kind_of_bad_key_counts_and_a_missing_one_does_not() -> None:
    """Malformed, forged, unknown, wrong, revoked, disabled, expired. Who has none needs only to get one."""

    async def scenario(rig: Rig) -> None:
        text, key = await rig.issue()
        ended = {"revoked_at": key.created_at, "active": False}
        texts = [
            "nonsense",
            text[:-1] + ("a" if text[-1] != "a" else "b"),
            mint()[0],
            wrong(text),
            (await rig.issue(**ended))[0],
            (await rig.issue(active=False))[0],
            (await rig.issue(expires_at=key.created_at - timedelta(days=1)))[0],
        ]
        for _ in range(20):
            assert (await rig.ask()).code is Code.MISSING_KEY
        assert codes([await rig.ask(key=each) for each in texts]) == [Code.INVALID_KEY] * 7
        assert (await rig.ask(key=texts[0])).code is Code.COOLING_DOWN
        assert {reason: number for reason, number in rig.abuse.failures.items() if number} == {
            "malformed": 1,
            "tag does not fit": 1,
            "unknown key id": 1,
            "wrong secret": 1,
            "revoked": 1,
            "disabled": 1,
            "expired": 1,
        }

    with_rig(scenario, abuse={"per_address": {"failures": 7}})


@pytest.mark.parametrize("rig", [Rig, SharedRig])
def test_a_banned_address_costs_no_argon2_and_no_store_call(rig: type[Rig]) -> None:
    """Whatever comes from there but for a key that was issued: on routes without keys too."""

    async def scenario(it: Rig) -> None:
        text, _ = await it.issue()
        await fail(it, 5)
        calls, compared = it.store.calls.total(), it.hasher.verifications
        forged = text[:-1] + ("a" if text[-1] != "a" else "b")
        asked = (
            await it.ask(key=forged),
            await it.ask(key="no-key"),
            await it.ask(),
            await it.ask("/open"),
            await it.ask("/open", key=forged),
            await it.ask("/a/../b"),
        )
        assert codes([*asked]) == [Code.COOLING_DOWN] * 6
        assert (it.store.calls.total(), it.hasher.verifications) == (calls, compared)
        assert it.abuse.refusals == {"ip": 6, "key": 0, "user": 0}
        assert (await it.ask(key=text, client_ip=ELSEWHERE)).code is Code.ALLOWED

    with_rig(scenario, rig, routes=[{"path": "/open", "auth": "none"}])


@pytest.mark.parametrize("rig", [Rig, SharedRig])
def test_a_verified_key_passes_at_a_banned_address(rig: type[Rig]) -> None:
    """Also after a change of its record, which has to be read anew; not once it is revoked."""

    async def scenario(it: Rig) -> None:
        text, key = await it.issue()
        assert (await it.ask(key=text)).code is Code.ALLOWED
        await fail(it, 5)
        assert (await it.ask(key=text)).code is Code.ALLOWED
        assert (await it.ask("/open", key=text)).code is Code.ALLOWED
        it.keys.forget(key.key_id)
        assert (await it.ask(key=text)).code is Code.ALLOWED
        ended = replace(key, version=2, active=False, revoked_at=key.created_at)
        await it.store.save(ended, entry())
        it.keys.forget(key.key_id)
        assert codes([await it.ask(key=text) for _ in range(2)]) == [Code.COOLING_DOWN] * 2

    with_rig(scenario, rig, routes=[{"path": "/open", "auth": "none"}])


@pytest.mark.parametrize("rig", [Rig, SharedRig])
def test_a_holder_who_calls_for_the_first_time_passes_at_a_banned_address(rig: type[Rig]) -> None:
    """The tag tells them from who fails there: another worker, or one just started, locks nobody out."""

    async def scenario(it: Rig) -> None:
        texts = [(await it.issue())[0] for _ in range(2)]
        await fail(it, 5)
        assert (await it.ask(key=texts[0])).code is Code.ALLOWED
        # One a second, and from then on as ever.
        refused = await it.ask(key=texts[1])
        assert (refused.code, refused.retry_after) == (Code.COOLING_DOWN, 1)
        assert (await it.ask(key=texts[0])).code is Code.ALLOWED
        it.clock.advance(seconds=refused.retry_after)
        assert codes([await it.ask(key=texts[1]) for _ in range(2)]) == [Code.ALLOWED] * 2

    with_rig(scenario, rig)


def test_keys_that_are_issued_and_no_good_are_seldom_looked_at_for_a_banned_address() -> None:
    """One id takes one turn of ten, and what is known to be no good takes none."""

    async def scenario(rig: Rig) -> None:
        text, key = await rig.issue()
        gone = (await rig.issue(active=False))[0]
        await fail(rig, 5)
        assert codes([await rig.ask(key=gone) for _ in range(3)]) == [Code.COOLING_DOWN] * 3
        rig.clock.advance(seconds=1)
        tried = [await rig.ask(key=wrong(text, number)) for number in range(9)]
        assert codes(tried) == [Code.COOLING_DOWN] * 9
        assert rig.hasher.verifications == 1
        rig.clock.advance(seconds=1)
        refused = await rig.ask(key=text)
        assert (refused.retry_after, refused.key_id) == (9, key.key_id)
        rig.clock.advance(seconds=9)
        assert (await rig.ask(key=text)).code is Code.ALLOWED

    with_rig(scenario)


def test_ipv6_counts_by_its_first_64_bits() -> None:
    """All addresses below are one customer's; IPv4 in IPv6 is IPv4."""

    async def scenario(rig: Rig) -> None:
        for number in range(5):
            await fail(rig, 1, address=f"2001:db8:1:2::{number}")
        assert codes(await fail(rig, 1, address="2001:db8:1:2:ffff::1")) == [Code.COOLING_DOWN]
        assert codes(await fail(rig, 1, address="2001:db8:1:3::1")) == [Code.INVALID_KEY]
        await fail(rig, 5, address="::ffff:192.0.2.7")
        assert codes(await fail(rig, 1)) == [Code.COOLING_DOWN]

    with_rig(scenario)


@pytest.mark.parametrize("address", ["", "unknown", "192.0.2.7, 10.0.0.1"])
def test_an_address_that_nobody_can_tell_is_never_banned(address: str) -> None:
    """A proxy that doesn't say whom it speaks for would have all of its clients banned for one."""

    async def scenario(rig: Rig) -> None:
        assert codes(await fail(rig, 12, address=address)) == [Code.INVALID_KEY] * 12
        assert rig.abuse.failures["malformed"] == 12

    with_rig(scenario)


@pytest.mark.parametrize(
    ("address", "banned"),
    [
        ("10.1.2.3", False),
        ("::ffff:10.1.2.3", False),
        ("2001:db8::5", False),
        ("2001:db8::6", True),
        ("11.0.0.1", True),
    ],
)
def test_allowed_addresses_are_never_banned_by_themselves(address: str, banned: bool) -> None:  # noqa: FBT001 - a row of the table
    """Neither for their own failures nor for those of others in the same /64; an operator's ban holds."""

    async def scenario(rig: Rig) -> None:
        await fail(rig, 5, address="2001:db8::7")
        await fail(rig, 5, address=address)
        (last,) = await fail(rig, 1, address=address)
        assert (last.code is Code.COOLING_DOWN) == banned
        for subject in ("ip:10.1.2.3", "ip:2001:db8::", "ip:11.0.0.1"):
            order(rig, subject)
        assert codes(await fail(rig, 1, address=address)) == [Code.COOLING_DOWN]

    with_rig(scenario, abuse={**ABUSE, "allow": ["10.0.0.0/8", "2001:db8::5"]})


def test_failures_of_allowed_addresses_count_for_nobody() -> None:
    """Others in their /64 have the whole budget."""

    async def scenario(rig: Rig) -> None:
        await fail(rig, 9, address="2001:db8::5")
        assert codes(await fail(rig, 5, address="2001:db8::6")) == [Code.INVALID_KEY] * 5

    with_rig(scenario, abuse={**ABUSE, "allow": ["2001:db8::5"]})


def test_by_default_this_machine_is_allowed() -> None:
    """A proxy on the same machine that hands on no address is seen as 127.0.0.1."""

    async def scenario(rig: Rig) -> None:
        for address in ("127.0.0.1", "127.1.2.3", "::1"):
            assert codes(await fail(rig, 9, address=address)) == [Code.INVALID_KEY] * 9

    with_rig(scenario)


def test_switched_off_nothing_begins_by_itself() -> None:
    """Failures are counted all the same, bans that have begun hold no more, and operators' bans do."""

    async def scenario(rig: Rig) -> None:
        await fail(rig, 5)
        settings = AbuseSettings.model_validate({**ABUSE, "enabled": False})
        rig.abuse.go_by(settings.to_rules())
        assert codes(await fail(rig, 9)) == [Code.INVALID_KEY] * 9
        assert rig.abuse.failures["malformed"] == 14
        order(rig, f"ip:{HERE}")
        assert codes(await fail(rig, 1)) == [Code.COOLING_DOWN]
        rig.abuse.go_by(AbuseSettings.model_validate(ABUSE).to_rules())
        assert codes(await fail(rig, 1)) == [Code.COOLING_DOWN]

    with_rig(scenario)


def test_there_are_only_so_many_bans_by_themselves() -> None:
    """A flood from ever new addresses can't fill the memory."""
    monitor = AbuseMonitor(AbuseSettings.model_validate({"per_address": {"failures": 1}}).to_rules())
    for number in range(MOST_BANS + 500):
        monitor.failed(f"2001:db8:{number:x}::1", "malformed", MINUTE_US)
    assert len(monitor.in_force) == len(monitor.begun) == MOST_BANS
    for number in range(30_000):
        monitor.failed(f"2001:db9:{number:x}::1", "malformed", MINUTE_US)
    assert len(monitor.in_force) == MOST_BANS
    assert monitor._per_address._records.held <= 10_000


def test_the_worst_are_those_who_failed_most_often_lately() -> None:
    """The most first; who has been quiet for an hour is no offender any more."""

    async def scenario(rig: Rig) -> None:
        text, key = await rig.issue()
        await fail(rig, 4, address=ELSEWHERE)
        rig.clock.advance(seconds=2_000)
        await fail(rig, 3, address="203.0.113.1")
        await guess(rig, text, 2)
        now_us = rig.clock.now_us()
        worst = rig.abuse.worst(2, now_us)
        assert [(one.subject, one.failures) for one in worst] == [
            (f"ip:{ELSEWHERE}", 4),
            ("ip:203.0.113.1", 3),
            (f"key:{key.key_id}", 2),
        ]
        assert [dict(one.reasons) for one in worst][1:] == [{"malformed": 3}, {"wrong secret": 2}]
        rig.clock.advance(seconds=2_000)
        worst = rig.abuse.worst(9, rig.clock.now_us())
        assert [one.subject for one in worst] == ["ip:203.0.113.1", f"ip:{HERE}", f"key:{key.key_id}"]
        await fail(rig, 1, address=ELSEWHERE)
        (anew,) = [one for one in rig.abuse.worst(9, rig.clock.now_us()) if ELSEWHERE in one.subject]
        assert (anew.failures, sum(anew.reasons.values())) == (1, 1)

    with_rig(scenario)
