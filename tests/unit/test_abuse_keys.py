"""Wrong secrets for a key, and bans of a key or its user: nobody else locks the holder out."""

from __future__ import annotations

import asyncio

import pytest

from extauth.keys.directory import Unguarded
from extauth.model import Code
from tests import directory
from tests.banning import ELSEWHERE, HERE, PATIENT_ADDRESSES, guess, order, with_rig, wrong
from tests.checking import Rig
from tests.sharing import SharedRig


def test_knowing_a_key_id_is_not_enough_to_spend_its_budget() -> None:
    """Forged keys with that id, however many, never reach argon2: only their senders' addresses pay."""

    async def scenario(rig: Rig) -> None:
        text, key = await rig.issue()
        for number in range(50):
            made_up = text[:-30] + f"{number:022}" + text[-8:]
            assert (await rig.ask(key=made_up, client_ip=f"203.0.113.{number}")).code is Code.INVALID_KEY
        assert f"key:{key.key_id}" not in rig.abuse.in_force
        assert rig.hasher.verifications == 0
        assert (await rig.ask(key=text)).code is Code.ALLOWED

    with_rig(scenario)


def test_a_secret_without_a_fitting_tag_counts_against_no_id() -> None:
    """Also where it is compared all the same, after the loss of a pepper: anybody could have made it up."""

    class Guard(Unguarded):
        def __init__(self) -> None:
            self.wrong: dict[str, int] = {}

        def wrong_secret(self, key_id: str, now_us: int) -> None:
            self.wrong[key_id] = now_us

    async def scenario() -> None:
        async with directory.rig(untagged=True) as it:
            guard = it.directory._guard = Guard()
            text, parts = await it.issue()
            assert (await it.refused(directory.forged(text))).reason == "wrong secret"
            assert guard.wrong == {}
            assert (await it.refused(directory.with_wrong_secret(parts))).reason == "wrong secret"
            assert guard.wrong == {parts.key_id: it.clock.now_us()}
            assert it.hasher.verifications == 2

    asyncio.run(scenario())


@pytest.mark.parametrize("rig", [Rig, SharedRig])
def test_wrong_secrets_ban_the_id_and_its_verified_holder_passes(rig: type[Rig]) -> None:
    """What is banned is the trying: no further secret reaches argon2."""

    async def scenario(it: Rig) -> None:
        text, key = await it.issue()
        assert (await it.ask(key=text, client_ip=ELSEWHERE)).code is Code.ALLOWED
        assert await guess(it, text, 3) == [Code.INVALID_KEY] * 3
        assert f"key:{key.key_id}" in it.abuse.in_force
        # The first try under the ban is looked at, the next ones are not.
        assert await guess(it, text, 6, first=3) == [Code.INVALID_KEY] + [Code.COOLING_DOWN] * 5
        assert it.hasher.verifications == 5
        assert it.abuse.refusals["key"] == 5
        for address in (ELSEWHERE, HERE):
            assert (await it.ask(key=text, client_ip=address)).code is Code.ALLOWED

    with_rig(scenario, rig, abuse=PATIENT_ADDRESSES)


def test_a_cold_holder_of_a_banned_id_gets_in_at_the_next_try() -> None:
    """Also while somebody else takes every turn that they get, and is verified from then on."""

    async def scenario(rig: Rig) -> None:
        text, _ = await rig.issue()
        await guess(rig, text, 4)
        first = await rig.ask(key=text, client_ip=ELSEWHERE)
        assert (first.code, first.retry_after) == (Code.COOLING_DOWN, 1)
        rig.clock.advance(seconds=first.retry_after)
        assert await guess(rig, text, 3, first=10) == [Code.COOLING_DOWN] * 3
        assert (await rig.ask(key=text, client_ip=ELSEWHERE)).code is Code.ALLOWED
        assert (await rig.ask(key=text, client_ip=ELSEWHERE)).code is Code.ALLOWED

    with_rig(scenario, abuse=PATIENT_ADDRESSES)


def test_somebody_who_guesses_gets_a_turn_in_ten_seconds() -> None:
    """Of one address one secret is compared so often, and Retry-After says when."""

    async def scenario(rig: Rig) -> None:
        text, _ = await rig.issue()
        await guess(rig, text, 4)
        refused = await rig.ask(key=wrong(text, 50))
        assert (refused.code, refused.retry_after) == (Code.COOLING_DOWN, 10)
        rig.clock.advance(seconds=10)
        assert await guess(rig, text, 2, first=60) == [Code.INVALID_KEY, Code.COOLING_DOWN]
        rig.clock.advance(seconds=-3600)
        # A clock that jumps back makes nobody wait for it.
        assert (await rig.ask(key=text)).code is Code.ALLOWED

    with_rig(scenario, abuse=PATIENT_ADDRESSES)


@pytest.mark.parametrize("whom", ["key", "user", "ip"])
@pytest.mark.parametrize("rig", [Rig, SharedRig])
def test_an_operators_ban_refuses_everything_of_it(rig: type[Rig], whom: str) -> None:
    """Also a key that was verified before, and one that has not been; nothing of others."""

    async def scenario(it: Rig) -> None:
        text, key = await it.issue()
        other, _ = await it.issue(user_id="user-2")
        assert (await it.ask(key=text)).code is Code.ALLOWED
        subject = {"key": key.key_id, "user": key.user_id, "ip": HERE}[whom]
        order(it, f"{whom}:{subject}", seconds=90)
        refused = await it.ask(key=text)
        assert (refused.code, refused.retry_after) == (Code.COOLING_DOWN, 90)
        assert refused.key_id == ("" if whom == "ip" else key.key_id)
        assert it.abuse.refusals[whom] == 1
        assert (await it.ask(key=other, client_ip=ELSEWHERE)).code is Code.ALLOWED
        it.clock.advance(seconds=90)
        assert (await it.ask(key=text)).code is Code.ALLOWED

    with_rig(scenario, rig)


def test_a_banned_key_that_is_not_verified_never_reaches_argon2() -> None:
    """An operator said no: there is nothing to find out."""

    async def scenario(rig: Rig) -> None:
        text, key = await rig.issue()
        order(rig, f"key:{key.key_id}", seconds=90)
        refused = await rig.ask(key=text)
        assert (refused.code, refused.retry_after) == (Code.COOLING_DOWN, 90)
        assert rig.hasher.verifications == 0

    with_rig(scenario)
