"""The check, step by step: what is decided, in which order, and what each denial leaves untouched."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from extauth.errors import StoreError
from extauth.model import Code, Decision
from tests.checking import Rig, request_for
from tests.fakes import START
from tests.keys import entry, mint
from tests.limits import told_by

ROUTES = [
    {"path": "/open/**", "auth": "none"},
    {"path": "/maybe/**", "auth": "optional"},
    {"path": "/orders/**", "scopes": ["orders:read", "orders:write"]},
]
TIERS = {"default": {"rates": ["2/second", "3/minute"]}, "free": {"rates": []}}


def check(scenario: Callable[[Rig], Awaitable[None]], **sections: Any) -> None:
    """Run a scenario on a rig of its own."""

    async def run() -> None:
        rig = Rig(**{"routes": ROUTES, "tiers": TIERS, **sections})
        try:
            await scenario(rig)
        finally:
            rig.hasher.close()

    asyncio.run(run())


def test_a_valid_key_is_allowed() -> None:
    """With the key as identity, the route's name, and the usage of each of its limits."""

    async def scenario(rig: Rig) -> None:
        text, key = await rig.issue()
        for remaining in ([1, 2], [0, 1]):
            decision = await rig.ask("/x", key=text)
            assert (decision.code, decision.route, decision.key_id) == (Code.ALLOWED, "default", key.key_id)
            assert decision.key is not None
            assert decision.key.user_id == "user-1"
            assert decision.limit_set is not None
            assert [limit for limit, *_ in decision.usages] == list(decision.limit_set.limits)
            assert [usage.remaining for usage in told_by(decision)] == remaining

    check(scenario)


@pytest.mark.parametrize("path", ["/a//b", "/open/../orders", "/open/%2e", "no-slash", ""])
def test_an_ambiguous_path_is_refused_first(path: str) -> None:
    """Before route, credential and limits: even on a route open to all, with a valid key, or with two."""

    async def scenario(rig: Rig) -> None:
        text, _ = await rig.issue()
        await rig.ask("/x", key=text)
        for key, ambiguous in ((None, None), (text, None), (text, Code.AMBIGUOUS_CREDENTIALS)):
            assert await rig.ask(path, key=key, ambiguous=ambiguous) == Decision(Code.AMBIGUOUS_PATH)
        assert [usage.remaining for usage in told_by(await rig.ask("/x", key=text))] == [0, 1]

    check(scenario)


@pytest.mark.parametrize("method", ["get", "TRACE", "CONNECT", "BREW"])
def test_an_unknown_method_is_refused_like_a_path(method: str) -> None:
    """A method is one more thing that two parties could read differently."""

    async def scenario(rig: Rig) -> None:
        assert (await rig.ask("/open/x", method=method)).code is Code.AMBIGUOUS_PATH

    check(scenario)


@pytest.mark.parametrize("path", ["/x", "/open/x", "/maybe/x", "/orders/1"])
def test_two_credentials_are_refused_on_every_route(path: str) -> None:
    """Also where no key is needed: which of the two the upstream would take, nobody knows."""

    async def scenario(rig: Rig) -> None:
        decision = await rig.ask(path, ambiguous=Code.AMBIGUOUS_CREDENTIALS)
        assert decision.code is Code.AMBIGUOUS_CREDENTIALS
        assert decision.key is None

    check(scenario)


def test_no_key_is_missing_key() -> None:
    """Nothing else is said about whoever sent none."""

    async def scenario(rig: Rig) -> None:
        assert await rig.ask("/x") == Decision(Code.MISSING_KEY, route="default")
        assert await rig.ask("/orders/1") == Decision(Code.MISSING_KEY, route="/orders/**")

    check(scenario)


@pytest.mark.parametrize("key", [None, "nonsense", "valid"])
def test_an_open_route_looks_at_no_key(key: str | None) -> None:
    """Whatever is sent, it passes as nobody, and costs neither argon2 nor the store nor a limit."""

    async def scenario(rig: Rig) -> None:
        text, _ = await rig.issue()
        for _ in range(5):
            assert await rig.ask("/open/x", key=text if key == "valid" else key) == Decision(
                Code.ALLOWED, route="/open/**"
            )
        assert (rig.hasher.verifications, rig.store.calls["get"]) == (0, 0)

    check(scenario)


def test_an_optional_route_lets_nobody_in_or_somebody_valid() -> None:
    """Without a key it passes as nobody; a key that is sent must be valid, and counts."""

    async def scenario(rig: Rig) -> None:
        text, key = await rig.issue()
        assert await rig.ask("/maybe/x") == Decision(Code.ALLOWED, route="/maybe/**")
        known = await rig.ask("/maybe/x", key=text)
        assert (known.code, known.key_id, len(known.usages)) == (Code.ALLOWED, key.key_id, 2)
        assert (await rig.ask("/maybe/x", key=text[:-1] + "_")).code is Code.INVALID_KEY
        assert (await rig.ask("/maybe/x", key="")).code is Code.INVALID_KEY

    check(scenario)


@pytest.mark.parametrize(
    ("default", "code"),
    [("authenticate", Code.MISSING_KEY), ("deny", Code.ROUTE_DENIED), ("allow", Code.ALLOWED)],
)
def test_what_no_route_names_falls_to_the_default(default: str, code: Code) -> None:
    """Asking for a key, refusing all, or letting all pass."""

    async def scenario(rig: Rig) -> None:
        assert await rig.ask("/x") == Decision(code, route="default")

    check(scenario, default_route=default)


def test_a_denied_route_is_denied_to_every_key() -> None:
    """Without looking at it."""

    async def scenario(rig: Rig) -> None:
        text, _ = await rig.issue(scopes=("*",))
        assert await rig.ask("/x", key=text) == Decision(Code.ROUTE_DENIED, route="default")
        assert rig.store.calls["get"] == 0

    check(scenario, default_route="deny")


INVALID: dict[str, dict[str, Any]] = {
    "revoked": {"revoked_at": START, "active": False},
    "disabled": {"active": False},
    "expired": {"expires_at": START},
}


@pytest.mark.parametrize("reason", list(INVALID))
def test_a_key_that_may_not_be_used_is_invalid(reason: str) -> None:
    """All alike to the caller: reason and key id are for the log alone, and no limit is spent or shown."""

    async def scenario(rig: Rig) -> None:
        text, key = await rig.issue(**INVALID[reason])
        for _ in range(3):
            decision = await rig.ask("/x", key=text)
            assert decision == Decision(
                Code.INVALID_KEY, presented_id=key.key_id, route="default", reason=reason
            )

    check(scenario)


def test_a_warm_key_expires_on_the_microsecond() -> None:
    """No cache stands between the moment and its effect."""

    async def scenario(rig: Rig) -> None:
        text, _ = await rig.issue(tier="free", expires_at=START + timedelta(seconds=1))
        rig.clock.advance(microseconds=999_999)
        assert (await rig.ask("/x", key=text)).code is Code.ALLOWED
        rig.clock.advance(microseconds=1)
        decision = await rig.ask("/x", key=text)
        assert (decision.code, decision.reason, decision.key) == (Code.INVALID_KEY, "expired", None)

    check(scenario)


def test_a_warm_key_is_refused_once_its_change_is_noticed() -> None:
    """The very next check after the watcher's look."""

    async def scenario(rig: Rig) -> None:
        text, key = await rig.issue()
        assert (await rig.ask("/x", key=text)).code is Code.ALLOWED
        await rig.store.save(replace(key, active=False, revoked_at=START, version=2), entry())
        rig.records.forget([key.key_id])
        decision = await rig.ask("/x", key=text)
        assert (decision.code, decision.reason) == (Code.INVALID_KEY, "revoked")

    check(scenario)


@pytest.mark.parametrize(
    ("scopes", "code"),
    [
        ((), Code.INSUFFICIENT_SCOPE),
        (("orders:read",), Code.INSUFFICIENT_SCOPE),
        (("orders:read", "orders:write"), Code.ALLOWED),
        (("orders:*",), Code.ALLOWED),
        (("*",), Code.ALLOWED),
        (("orders",), Code.INSUFFICIENT_SCOPE),
    ],
)
def test_a_route_needs_all_of_its_scopes(scopes: tuple[str, ...], code: Code) -> None:
    """A refusal names what the route needs, and spends no limit."""

    async def scenario(rig: Rig) -> None:
        text, key = await rig.issue(scopes=scopes)
        for _ in range(2):
            decision = await rig.ask("/orders/1", key=text)
            assert decision.code is code
            assert decision.key_id == key.key_id
            if code is Code.INSUFFICIENT_SCOPE:
                assert decision.needed_scopes == ("orders:read", "orders:write")
                assert (decision.usages, decision.retry_after) == ((), 0)
        if code is Code.INSUFFICIENT_SCOPE:
            assert told_by(await rig.ask("/x", key=text))[0].remaining == 1

    check(scenario)


def test_a_spent_limit_refuses_until_it_has_refilled() -> None:
    """It is named, the time to wait is in whole seconds, rounded up, and whoever waits so long passes."""

    async def scenario(rig: Rig) -> None:
        text, _ = await rig.issue()
        for _ in range(2):
            assert (await rig.ask("/x", key=text)).code is Code.ALLOWED
        refused = await rig.ask("/x", key=text)
        assert (refused.code, refused.violated, refused.retry_after) == (
            Code.RATE_LIMITED,
            ("per-second",),
            1,
        )
        assert [usage.allowed for usage in told_by(refused)] == [False, True]
        rig.clock.advance(seconds=refused.retry_after)
        assert (await rig.ask("/x", key=text)).code is Code.ALLOWED
        rig.clock.advance(seconds=1)
        refused = await rig.ask("/x", key=text)
        # Three a minute is one each 20 s, and 2 s have passed since the first.
        assert (refused.violated, refused.retry_after) == (("per-minute",), 18)
        rig.clock.advance(seconds=17, microseconds=999_999)
        assert (await rig.ask("/x", key=text)).retry_after == 1
        rig.clock.advance(microseconds=1)
        assert (await rig.ask("/x", key=text)).code is Code.ALLOWED

    check(scenario)


def test_several_spent_limits_are_all_named() -> None:
    """The wait is that for the slowest."""

    async def scenario(rig: Rig) -> None:
        text, _ = await rig.issue()
        await rig.ask("/x", key=text)
        refused = await rig.ask("/x", key=text)
        assert (refused.violated, refused.retry_after) == (("per-second", "per-hour"), 3600)

    check(scenario, tiers={"default": {"rates": ["1/second", "1/hour"]}})


def test_a_tier_without_rates_is_unlimited() -> None:
    """Nothing is counted, and no limits are told."""

    async def scenario(rig: Rig) -> None:
        text, _ = await rig.issue(tier="free")
        for _ in range(100):
            decision = await rig.ask("/x", key=text)
            assert (decision.code, decision.usages) == (Code.ALLOWED, ())

    check(scenario)


def test_a_key_whose_tier_is_gone_is_not_let_in_without_limits() -> None:
    """The configuration is at fault, not the key: a 503 whose reason names the tier, cold and warm."""

    async def scenario(rig: Rig) -> None:
        text, key = await rig.issue(tier="gold")
        for _ in range(3):
            decision = await rig.ask("/x", key=text)
            assert (decision.code, decision.key_id) == (Code.INTERNAL_ERROR, key.key_id)
            assert decision.reason == "tier 'gold' is not configured"
            assert decision.retry_after > 0
        assert rig.hasher.verifications == 1

    check(scenario)


def test_a_first_check_of_many_is_decided_for_each() -> None:
    """Those who waited for one argon2 are counted one by one: as many pass as the limit says."""

    async def scenario(rig: Rig) -> None:
        text, _ = await rig.issue()
        decisions = await asyncio.gather(*(rig.ask("/x", key=text) for _ in range(50)))
        codes = [decision.code for decision in decisions]
        assert (codes.count(Code.ALLOWED), codes.count(Code.RATE_LIMITED)) == (2, 48)
        assert rig.hasher.verifications == 1

    check(scenario)


def test_a_store_that_fails_lets_nobody_in_unseen() -> None:
    """A key that is not at hand is put off; one that is stays valid; afterwards all is as before."""

    async def scenario(rig: Rig) -> None:
        warm, _ = await rig.issue(tier="free")
        cold, _ = await rig.issue(tier="free")
        await rig.ask("/x", key=warm)
        rig.store.failure = StoreError("disk gone")
        assert await rig.ask("/x", key=cold) == Decision(
            Code.STORE_UNAVAILABLE, route="default", retry_after=1, reason="disk gone"
        )
        assert (await rig.ask("/x", key=warm)).code is Code.ALLOWED
        rig.store.failure = None
        assert (await rig.ask("/x", key=cold)).code is Code.ALLOWED

    check(scenario)


def test_full_hashing_puts_off_new_keys_only() -> None:
    """Whoever finds no room is told when to come again; known keys are answered as ever."""

    async def scenario(rig: Rig) -> None:
        warm, _ = await rig.issue(tier="free")
        await rig.ask("/x", key=warm)
        cold = [(await rig.issue(tier="free"))[0] for _ in range(5)]
        decisions = await asyncio.gather(*(rig.ask("/x", key=text) for text in [*cold, warm]))
        assert [decision.code for decision in decisions].count(Code.OVERLOADED) == 3
        assert decisions[-1].code is Code.ALLOWED
        assert {decision.retry_after for decision in decisions if decision.code is Code.OVERLOADED} == {1}

    check(scenario)


def test_what_needs_no_waiting_is_decided_without() -> None:
    """Only a key that was not seen before has to wait; a forged one doesn't."""

    async def scenario(rig: Rig) -> None:
        text, _ = await rig.issue()
        now_us = rig.clock.now_us()
        for request in (request_for("/x"), request_for("/x", key=text + "0"), request_for("/a//b", key=text)):
            assert rig.checker.decide(request, now_us) is not None
        assert rig.checker.decide(request_for("/x", key=text), now_us) is None
        assert rig.checker.decide(request_for("/x", key=mint()[0]), now_us) is None
        await rig.ask("/x", key=text)
        assert rig.checker.decide(request_for("/x", key=text), now_us) is not None

    check(scenario)
