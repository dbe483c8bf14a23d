"""Nobody can make a verified holder of a key be refused by failing, however and from wherever."""

from __future__ import annotations

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from extauth.keys.token import parse_key
from extauth.model import Code
from tests.banning import wrong
from tests.checking import Rig
from tests.keys import mint

HOLDERS = "192.0.2.7"
ADDRESSES = (HOLDERS, "192.0.2.8", "2001:db8::1", "unknown")
TINY = {"failures": 1, "window": "10m", "ban": "5m", "longest": "30m"}

# What a stranger does: a text of some kind with the holder's id, or without; a pause.
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("forged"), st.sampled_from(ADDRESSES), st.integers(0, 9_999)),
        st.tuples(st.just("wrong"), st.sampled_from(ADDRESSES), st.integers(0, 9_999)),
        st.tuples(st.just("unknown"), st.sampled_from(ADDRESSES), st.integers(0, 9_999)),
        st.tuples(st.just("malformed"), st.sampled_from(ADDRESSES), st.integers(0, 9_999)),
        st.tuples(st.just("nothing"), st.sampled_from(ADDRESSES), st.just(0)),
        st.tuples(st.just("pause"), st.just(""), st.integers(-600, 600)),
    ),
    max_size=25,
)


def _text(kind: str, held: str, number: int) -> str | None:
    if kind == "forged":
        return f"{held[:-20]}{number:012}{held[-8:]}"
    if kind == "wrong":
        return wrong(held, number)
    if kind == "unknown":
        return mint()[0]
    return None if kind == "nothing" else f"no-key-{number}"


@settings(max_examples=40)
@given(steps=_STEPS)
def test_no_failures_of_others_refuse_a_verified_holder(steps: list[tuple[str, str, int]]) -> None:
    """Even somebody who has the pepper and the holder's address gets only themselves refused."""

    async def scenario() -> None:
        rig = Rig(abuse={"per_address": TINY, "per_key": TINY}, tiers={"default": {"rates": []}})
        try:
            held, key = await rig.issue()
            assert parse_key(held).key_id == key.key_id
            assert (await rig.ask(key=held, client_ip=HOLDERS)).code is Code.ALLOWED
            for kind, address, number in steps:
                if kind == "pause":
                    rig.clock.advance(seconds=number)
                    continue
                answer = await rig.ask(key=_text(kind, held, number), client_ip=address)
                assert answer.code in {Code.INVALID_KEY, Code.MISSING_KEY, Code.COOLING_DOWN}
                for where in ADDRESSES:
                    assert (await rig.ask(key=held, client_ip=where)).code is Code.ALLOWED
        finally:
            rig.hasher.close()

    asyncio.run(scenario())


@settings(max_examples=40)
@given(spans=st.lists(st.integers(1, 7_200), max_size=12))
def test_a_ban_never_lasts_longer_than_it_told(spans: list[int]) -> None:
    """Whoever waits for Retry-After is looked at again, and no ban is longer than the longest."""

    async def scenario() -> None:
        rig = Rig(abuse={"per_address": TINY})
        try:
            for span in spans:
                await rig.ask(key="no-key", client_ip=HOLDERS)
                refused = await rig.ask(key="no-key", client_ip=HOLDERS)
                assert refused.code is Code.COOLING_DOWN
                assert 0 < refused.retry_after <= 1_800
                rig.clock.advance(seconds=refused.retry_after)
                assert rig.abuse.of_address(HOLDERS, rig.clock.now_us()) is None
                rig.clock.advance(seconds=span)
        finally:
            rig.hasher.close()

    asyncio.run(scenario())
