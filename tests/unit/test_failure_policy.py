"""What a check gets while the store doesn't answer: every policy, for every kind of check."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from fractions import Fraction
from typing import Any

import pytest

from extauth.errors import StoreError
from extauth.failure import FailureModes, FailurePolicy, Mode
from extauth.keys.directory import KeyDirectory
from extauth.keys.presented import TextReader
from extauth.keys.token import parse_key
from extauth.limits.plan import Plan
from extauth.model import CALENDAR_MONTH, Code, Decision, Limit, Usage
from extauth.routes import Access, Route
from extauth.settings.model import Settings
from extauth.stores.memory import SWEPT_AT_ONCE
from extauth.throttle.claims import Claims
from extauth.throttle.slots import Concurrency, Place
from tests.directory import forged, with_wrong_secret
from tests.fakes import START
from tests.keys import PEPPERS, entry
from tests.limits import plan_of, window
from tests.sharing import SharedRig

ROUTES = [
    {"path": "/open/**", "auth": "none"},
    {"path": "/maybe/**", "auth": "optional"},
    {"path": "/scoped/**", "scopes": ["orders:read"]},
]
SECTIONS: dict[str, Any] = {
    "routes": ROUTES,
    "tiers": {"default": {"rates": ["8/hour"]}, "free": {"rates": []}},
    "limits": {"anonymous": ["8/hour"]},
}
GONE = StoreError("Redis 127.0.0.1:1: no answer within 50 ms")
MODES = [(one, other) for one in Mode for other in Mode]
SECOND = 1_000_000
ROUTE = Route(name="r", access=Access.REQUIRED)


def with_rig(
    scenario: Callable[[SharedRig], Awaitable[None]],
    authentication: Mode = Mode.CLOSED,
    limits: Mode = Mode.CLOSED,
    **modes: Any,
) -> None:
    """Run a scenario on a rig with this policy."""

    async def run() -> None:
        rig = SharedRig(modes=FailureModes(authentication=authentication, limits=limits, **modes), **SECTIONS)
        try:
            await scenario(rig)
        finally:
            rig.hasher.close()

    asyncio.run(run())


def fail(rig: SharedRig, *, in_trouble: bool) -> None:
    """Let the store answer nothing more: as known already, or as found out by each check."""
    rig.store.failure = rig.shared.failure = GONE
    rig.shared.trouble = "gone" if in_trouble else ""


async def change(rig: SharedRig, key_id: str, **changes: Any) -> None:
    """Change a key as another server does."""
    record = await rig.store.get(key_id)
    assert record is not None
    await rig.store.save(replace(record, version=record.version + 1, **changes), entry(key_id))


@pytest.mark.parametrize("in_trouble", [False, True])
@pytest.mark.parametrize(("authentication", "limits"), MODES)
def test_a_key_that_was_confirmed(authentication: Mode, limits: Mode, in_trouble: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Both policies must let it pass; `degraded` tells what was not looked at."""

    async def scenario(rig: SharedRig) -> None:
        text, _ = await rig.issue()
        assert (await rig.ask(key=text)).code is Code.ALLOWED
        fail(rig, in_trouble=in_trouble)
        found = [await rig.ask(key=text) for _ in range(4)]
        if Mode.CLOSED in {authentication, limits}:
            assert {decision.code for decision in found} == {Code.STORE_UNAVAILABLE}
            assert {(decision.retry_after, decision.degraded) for decision in found} == {(1, "")}
            return
        said = f"authentication={authentication},limits={limits}"
        assert {decision.degraded for decision in found} == {said}
        # A quarter of 8.
        passed = 4 if limits is Mode.OPEN else 2
        expected = [Code.ALLOWED] * passed + [Code.RATE_LIMITED] * (4 - passed)
        assert [decision.code for decision in found] == expected

    with_rig(scenario, authentication, limits)


@pytest.mark.parametrize(("authentication", "limits"), MODES)
def test_a_key_without_limits_needs_only_the_policy_of_authentication(
    authentication: Mode, limits: Mode
) -> None:
    """Nothing is counted, so nobody misses the count."""

    async def scenario(rig: SharedRig) -> None:
        text, _ = await rig.issue(tier="free")
        await rig.ask(key=text)
        fail(rig, in_trouble=False)
        decision = await rig.ask(key=text)
        if authentication is Mode.CLOSED:
            assert decision.code is Code.STORE_UNAVAILABLE
        else:
            assert (decision.code, decision.degraded) == (Code.ALLOWED, f"authentication={authentication}")

    with_rig(scenario, authentication, limits)


@pytest.mark.parametrize(("authentication", "limits"), MODES)
@pytest.mark.parametrize("path", ["/open/x", "/maybe/x"])
def test_a_request_without_a_key_needs_only_the_policy_of_limits(
    authentication: Mode, limits: Mode, path: str
) -> None:
    """Nobody was to be identified."""

    async def scenario(rig: SharedRig) -> None:
        fail(rig, in_trouble=False)
        found = [await rig.ask(path) for _ in range(3)]
        expected = {
            Mode.CLOSED: [Code.STORE_UNAVAILABLE] * 3,
            Mode.OPEN: [Code.ALLOWED] * 3,
            Mode.DEGRADE: [Code.ALLOWED] * 2 + [Code.RATE_LIMITED],
        }
        assert [decision.code for decision in found] == expected[limits]
        assert {decision.degraded for decision in found} == {
            "" if limits is Mode.CLOSED else f"limits={limits}"
        }

    with_rig(scenario, authentication, limits)


@pytest.mark.parametrize(("authentication", "limits"), MODES)
def test_what_needs_no_store_is_answered_as_ever(authentication: Mode, limits: Mode) -> None:
    """No key, a key that was made up, a path that can be read two ways: no policy lets them in."""

    async def scenario(rig: SharedRig) -> None:
        text, _ = await rig.issue()
        fail(rig, in_trouble=False)
        assert (await rig.ask()).code is Code.MISSING_KEY
        assert (await rig.ask(key=forged(text.encode()).decode())).code is Code.INVALID_KEY
        assert (await rig.ask(key="anything")).code is Code.INVALID_KEY
        assert (await rig.ask("/a/../b", key=text)).code is Code.AMBIGUOUS_PATH

    with_rig(scenario, authentication, limits)


@pytest.mark.parametrize(("authentication", "limits"), MODES)
def test_a_key_that_nobody_can_look_up(authentication: Mode, limits: Mode) -> None:
    """Only where both are `open` it is let in, on routes without scopes and without an identity."""

    async def scenario(rig: SharedRig) -> None:
        text, key = await rig.issue()
        fail(rig, in_trouble=False)
        decision = await rig.ask(key=text)
        if authentication is limits is Mode.OPEN:
            assert (decision.code, decision.key, decision.key_id) == (Code.ALLOWED, None, key.key_id)
            assert decision.degraded == "authentication=open,limits=open"
        else:
            assert decision.code is Code.STORE_UNAVAILABLE
        assert (await rig.ask("/scoped/x", key=text)).code is Code.STORE_UNAVAILABLE

    with_rig(scenario, authentication, limits)


@pytest.mark.parametrize("reading", [{"imported": True}, {"untagged": True}])
def test_open_lets_no_text_in_that_anybody_may_have_made_up(reading: dict[str, bool]) -> None:
    """Where keys of other systems are taken too, a text alone proves nothing."""

    async def scenario(rig: SharedRig) -> None:
        keys: KeyDirectory[Any] = rig.keys
        keys._reader = TextReader(PEPPERS, **reading)
        text, _ = await rig.issue()
        fail(rig, in_trouble=False)
        for made_up in ("a-key-of-another-system-0123456789", forged(text.encode()).decode()):
            decision = await rig.ask(key=made_up)
            assert decision.code in {Code.STORE_UNAVAILABLE, Code.INVALID_KEY}
        assert (await rig.ask(key=text)).code is Code.ALLOWED

    with_rig(scenario, Mode.OPEN, Mode.OPEN)


def test_a_wrong_secret_that_was_found_out_stays_wrong() -> None:
    """A text that argon2 has refused is refused without the store."""

    async def scenario(rig: SharedRig) -> None:
        text, _ = await rig.issue()
        wrong = with_wrong_secret(parse_key(text)).decode()
        assert (await rig.ask(key=wrong)).code is Code.INVALID_KEY
        fail(rig, in_trouble=False)
        assert (await rig.ask(key=wrong)).code is Code.INVALID_KEY

    with_rig(scenario, Mode.OPEN, Mode.OPEN)


REFUSALS: dict[str, dict[str, Any]] = {
    "revoked": {"revoked_at": START},
    "disabled": {"active": False},
    "expired": {"expires_at": START + timedelta(seconds=10)},
    "rotated": {"rotated_at": START, "grace_until": START + timedelta(seconds=10)},
}


@pytest.mark.parametrize(("authentication", "limits"), MODES)
@pytest.mark.parametrize("reason", REFUSALS)
def test_a_key_that_may_not_be_used_is_let_in_by_no_policy(
    authentication: Mode, limits: Mode, reason: str
) -> None:
    """As far as this server knows: it was confirmed to be so, or its time has come."""

    async def scenario(rig: SharedRig) -> None:
        ends = reason in {"expired", "rotated"}
        text, key = await rig.issue(**(REFUSALS[reason] if ends else {}))
        assert (await rig.ask(key=text)).code is Code.ALLOWED
        if not ends:
            await change(rig, key.key_id, **REFUSALS[reason])
        rig.clock.advance(seconds=10)
        assert (await rig.ask(key=text)).code is Code.INVALID_KEY
        fail(rig, in_trouble=False)
        decision = await rig.ask(key=text)
        if authentication is Mode.CLOSED:
            assert decision.code is Code.STORE_UNAVAILABLE
        else:
            assert (decision.code, decision.reason) == (Code.INVALID_KEY, reason)
            assert decision.degraded == f"authentication={authentication}"

    with_rig(scenario, authentication, limits)


@pytest.mark.parametrize("in_trouble", [False, True])
def test_a_key_remembered_as_revoked_is_not_let_in_unseen(in_trouble: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Also where its secret was never verified: what is known of it counts for more than its tag."""

    async def scenario(rig: SharedRig) -> None:
        text, _ = await rig.issue(revoked_at=START)
        assert (await rig.ask(key=text)).code is Code.INVALID_KEY
        fail(rig, in_trouble=in_trouble)
        assert (await rig.ask(key=text)).code is Code.INVALID_KEY

    with_rig(scenario, Mode.OPEN, Mode.OPEN)


@pytest.mark.parametrize("mode", [Mode.OPEN, Mode.DEGRADE])
def test_scopes_that_are_missing_are_missing_without_the_store_too(mode: Mode) -> None:
    """And nothing is counted for it."""

    async def scenario(rig: SharedRig) -> None:
        text, _ = await rig.issue()
        await rig.ask(key=text)
        fail(rig, in_trouble=False)
        decision = await rig.ask("/scoped/x", key=text)
        assert (decision.code, decision.needed_scopes) == (Code.INSUFFICIENT_SCOPE, ("orders:read",))
        assert decision.degraded == f"authentication={mode}"
        assert len(rig.failure.local) == 0

    with_rig(scenario, mode, Mode.DEGRADE)


def test_a_key_is_honoured_for_as_long_as_is_set_and_not_longer() -> None:
    """From the last time the store confirmed it."""

    async def scenario(rig: SharedRig) -> None:
        text, _ = await rig.issue(tier="free")
        await rig.ask(key=text)
        rig.clock.advance(seconds=7)
        await rig.ask(key=text)
        fail(rig, in_trouble=False)
        rig.clock.advance(seconds=20)
        assert (await rig.ask(key=text)).code is Code.ALLOWED
        rig.clock.advance(microseconds=1)
        assert (await rig.ask(key=text)).code is Code.STORE_UNAVAILABLE

    with_rig(scenario, Mode.DEGRADE, honour_us=20 * SECOND)


def test_a_clock_that_jumps_back_prolongs_nothing() -> None:
    """Whoever was confirmed at a time that is yet to come was confirmed nobody knows when."""

    async def scenario(rig: SharedRig) -> None:
        text, _ = await rig.issue(tier="free")
        await rig.ask(key=text)
        fail(rig, in_trouble=False)
        rig.clock.advance(seconds=-3_600)
        assert (await rig.ask(key=text)).code is Code.STORE_UNAVAILABLE
        rig.clock.advance(seconds=3_600)
        assert (await rig.ask(key=text)).code is Code.STORE_UNAVAILABLE
        rig.store.failure = rig.shared.failure = None
        assert (await rig.ask(key=text)).code is Code.ALLOWED

    with_rig(scenario, Mode.DEGRADE)


def test_open_honours_however_long_ago_the_store_confirmed() -> None:
    """A long outage stops nobody who was known when it began."""

    async def scenario(rig: SharedRig) -> None:
        text, _ = await rig.issue(tier="free")
        await rig.ask(key=text)
        fail(rig, in_trouble=False)
        rig.clock.advance(seconds=86_400)
        assert (await rig.ask(key=text)).key is not None

    with_rig(scenario, Mode.OPEN)


def admitted(limit: Limit, *, share: Fraction, seconds: int, cost: int = 1) -> int:
    """Return how many requests a flood gets through on the share of a limit, ten each second."""
    policy = FailurePolicy(FailureModes(limits=Mode.DEGRADE, share=share))
    plan = plan_of(limit, cost=cost)
    start_us = 1_772_366_400_000_000
    found = [
        policy.without_key(ROUTE, plan, start_us + at * SECOND // 10, "gone") for at in range(seconds * 10)
    ]
    return sum(decision.code is Code.ALLOWED for decision in found)


KINDS = [
    Limit("bucket", 40, 40, 60 * SECOND),
    window("sliding", 40, 60 * SECOND, kind="sliding"),
    window("fixed", 40, 60 * SECOND),
]


@pytest.mark.parametrize("limit", KINDS, ids=lambda limit: limit.algorithm)
@pytest.mark.parametrize(("share", "first"), [(Fraction(1, 4), 10), (Fraction(3, 10), 12), (Fraction(1), 40)])
def test_each_algorithm_gives_out_its_share(limit: Limit, share: Fraction, first: int) -> None:
    """So much at once, and the same share of the refill: never more, over any number of periods."""
    assert admitted(limit, share=share, seconds=10) in range(first, first + max(first // 5, 2) + 1)
    over_ten_periods = admitted(limit, share=share, seconds=600)
    assert over_ten_periods <= first * 11
    assert over_ten_periods >= first * 9


@pytest.mark.parametrize("limit", KINDS, ids=lambda limit: limit.algorithm)
def test_of_each_limit_one_request_at_least_is_given_out(limit: Limit) -> None:
    """A share of less than one would shut out whoever has a small limit."""
    small = limit._replace(capacity=2, rate=2)
    assert admitted(small, share=Fraction(1, 4), seconds=1) == 1


def test_a_quota_gives_out_its_share_too() -> None:
    """And a refusal names it as a quota."""
    policy = FailurePolicy(FailureModes(limits=Mode.DEGRADE))
    plan = plan_of(window("quota", 8, CALENDAR_MONTH)._replace(is_quota=True))
    found = [policy.without_key(ROUTE, plan, 1_772_366_400_000_000, "gone") for _ in range(3)]
    assert [decision.code for decision in found] == [Code.ALLOWED, Code.ALLOWED, Code.QUOTA_EXCEEDED]
    assert found[2].violated == ("quota",)
    assert found[2].retry_after > 0


def test_all_limits_of_a_request_are_taken_locally_or_none() -> None:
    """Those in shadow never refuse here either, and are named."""
    policy = FailurePolicy(FailureModes(limits=Mode.DEGRADE))
    small, large = Limit("small", 4, 1, 60 * SECOND), Limit("large", 40, 1, 60 * SECOND)
    shadow = Limit("shadow", 4, 1, 60 * SECOND, shadow=True)

    def ask(*limits: Limit) -> Decision:
        return policy.without_key(ROUTE, plan_of(*limits), 1_772_366_400_000_000, "gone")

    assert ask(small, large).code is Code.ALLOWED
    for _ in range(5):
        assert ask(small, large).code is Code.RATE_LIMITED
    (usage,) = ask(large).usages
    assert Usage(*usage).remaining == 8
    assert [ask(large, shadow).shadowed for _ in range(2)] == [(), ("shadow",)]


def test_slots_are_given_out_locally_by_their_share() -> None:
    """Nobody waits for one, and one is free again once its lease ends; `open` counts nothing."""
    place = Place("key:k:concurrency", Concurrency(8, SECOND, 8, SECOND), "key:k", "concurrency")
    plan = Plan((), (place,), client="key:k")
    claims = Claims()
    now_us = 1_772_366_400_000_000

    def ask(policy: FailurePolicy) -> Decision:
        return policy.without_key(ROUTE, plan, now_us, "gone", claims.new("r"))

    degraded = FailurePolicy(FailureModes(limits=Mode.DEGRADE))
    first, second, third = (ask(degraded) for _ in range(3))
    assert first.code is second.code is Code.ALLOWED
    assert first.lease != second.lease
    assert third.code is Code.TOO_MANY_CONCURRENT
    assert third.degraded == "limits=degrade"
    degraded.local.leases.end("r", first.lease, now_us)
    assert ask(degraded).code is Code.ALLOWED
    opened = FailurePolicy(FailureModes(limits=Mode.OPEN))
    assert {(ask(opened).code, ask(opened).lease) for _ in range(20)} == {(Code.ALLOWED, "")}
    assert ask(FailurePolicy(FailureModes())).code is Code.STORE_UNAVAILABLE


def test_what_is_counted_locally_is_forgotten_when_it_is_clear() -> None:
    """An outage in which a million clients come leaves no trace of those that are clear again."""
    policy = FailurePolicy(FailureModes(limits=Mode.DEGRADE))
    limit = Limit("brief", 8, 8, SECOND)
    now_us = 1_772_366_400_000_000
    for number in range(5 * SWEPT_AT_ONCE):
        policy.without_key(ROUTE, plan_of(limit, key=f"k{number}"), now_us + number * 10_000, "gone")
    assert len(policy.local) <= 2 * SWEPT_AT_ONCE
    assert len(policy.local._unsaved) <= SWEPT_AT_ONCE
    assert len(policy.local._forgotten) <= SWEPT_AT_ONCE


def test_the_share_is_the_one_that_is_written() -> None:
    """0.3 of 10 is 3, although 0.3 is a little less in binary."""
    settings = Settings.model_validate({"failure": {"limits": "degrade", "share": 0.3}})
    assert Fraction(str(settings.failure.share)) == Fraction(3, 10)
