"""Slots in Redis are handed out as they are in one process: to the same requests, in the same order."""

from __future__ import annotations

import time
from collections.abc import Sequence
from importlib import resources
from typing import NamedTuple

from hypothesis import example, given
from hypothesis import strategies as st

from extauth.throttle.slots import Concurrency, Slots
from tests.redis.server import RedisServer

# ARGV holds for each step what to do, the name, the client, the limit's four numbers and the time. Each says
# what came of it: text, so that Redis answers it as it is.
_HARNESS = """
local said = {}
for at = 1, #ARGV, 8 do
  local what, name, client = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local n = {}
  for place = 1, 5 do n[place] = tonumber(ARGV[at + 2 + place]) end
  local most, lease_us, queue, wait_us, now_us = n[1], n[2], n[3], n[4], n[5]
  local outcome
  local waiting = slots.expire(KEYS[1], now_us)
  if what == 'let go' then
    outcome = tostring(slots.let_go(KEYS[1], name, waiting))
  elseif what == 'renew' then
    slots.renew(KEYS[1], name, now_us + lease_us)
    outcome = 'renewed'
  elseif slots.has_turn(KEYS[1], name, most, waiting) then
    slots.lease(KEYS[1], name, now_us + lease_us, waiting)
    outcome = 'leased'
  else
    local accepted, ousted = slots.wait(KEYS[1], name, client, queue, now_us + wait_us, most)
    outcome = (accepted and 'waits' or 'full') .. ' ' .. (ousted or '')
  end
  said[#said + 1] = outcome .. ' | ' .. table.concat(slots.called(KEYS[1], most), ' ')
end
return said
"""
_SCRIPT = (resources.files("extauth.stores.redis") / "lua" / "slots.lua").read_text(encoding="utf-8")
# Far enough in the future that Redis's own clock ends nothing meanwhile.
_START_US = (int(time.time()) + 86_400) * 1_000_000
_LEASE_US, _WAIT_US = 1_000_000, 200_000


class Step(NamedTuple):
    """What to do with the slots, and when."""

    what: str
    name: str
    client: str
    limit: Concurrency
    now_us: int


def _in_python(steps: Sequence[Step]) -> list[str]:
    slots, said = Slots(), []
    for what, name, client, limit, now_us in steps:
        called = slots.called(limit, now_us)
        if what == "let go":
            outcome = str(slots.let_go(name)).lower()
        elif what == "renew":
            slots.renew(name, limit, now_us)
            outcome = "renewed"
        elif slots.has_turn(name, limit, now_us):
            slots.lease(name, limit, now_us)
            outcome = "leased"
        else:
            accepted, ousted = slots.wait(name, client, limit, now_us)
            outcome = f"{'waits' if accepted else 'full'} {ousted or ''}"
        called = slots.called(limit, now_us)
        said.append(f"{outcome} | {' '.join(called)}")
    return said


def _in_lua(server: RedisServer, steps: Sequence[Step]) -> list[str]:
    server.ask("FLUSHALL")
    arguments: list[str | int] = []
    for what, name, client, limit, now_us in steps:
        arguments += [what, name, client, *limit[:4], now_us]
    said = server.ask("EVAL", f"local slots = (function()\n{_SCRIPT}\nend)()\n{_HARNESS}", 1, "x", *arguments)
    return [outcome.decode() if isinstance(outcome, bytes) else outcome for outcome in said]


@st.composite
def histories(draw: st.DrawFn) -> list[Step]:
    """Draw what clients of one limit do, some of it again and again, while time passes."""
    limit = Concurrency(draw(st.integers(1, 3)), _LEASE_US, draw(st.integers(0, 4)), _WAIT_US)
    now_us, steps = _START_US, []
    for _ in range(draw(st.integers(1, 40))):
        now_us += draw(st.sampled_from([0, 1, 50_000, _WAIT_US, _LEASE_US]))
        client = draw(st.sampled_from("abc"))
        name = f"{client}{draw(st.integers(0, 5))}"
        what = draw(st.sampled_from(["ask", "ask", "ask", "let go", "renew"]))
        steps.append(Step(what, name, client, limit, now_us))
    return steps


# A newcomer comes while a round is on that has gone past its beginning.
_NEWCOMER = (
    "ask x0, ask a0, ask a1, ask b0, ask b1, let go x0, ask a0, let go a0, ask b0, let go b0, "
    "ask a1, ask c0, let go a1"
)
# One that has been served comes again at once, while another waits for its second turn.
_AGAIN = (
    "ask x0, ask a0, ask a1, ask b0, let go x0, ask a0, let go a0, ask b0, ask b1, ask b2, let go b0, ask a1"
)


def _taking_turns(history: str) -> list[Step]:
    limit = Concurrency(1, _LEASE_US, 9, _WAIT_US)
    words = (entry.rpartition(" ") for entry in history.split(", "))
    return [Step(what, name, name[0], limit, _START_US) for what, _, name in words]


@given(steps=histories())
@example(steps=_taking_turns(_NEWCOMER))
@example(steps=_taking_turns(_AGAIN))
def test_any_history(server: RedisServer, steps: list[Step]) -> None:
    """The same happens to each request, and the same ones are called after it."""
    assert _in_lua(server, steps) == _in_python(steps)


def test_nothing_stays(server: RedisServer) -> None:
    """Everything that is kept ends by itself."""
    limit = Concurrency(1, _LEASE_US, 2, _WAIT_US)
    history = ("ask", "a0"), ("ask", "b0"), ("ask", "c0"), ("let go", "a0"), ("ask", "b0")
    _in_lua(server, [Step(what, name, name[0], limit, _START_US) for what, name in history])
    keys = server.ask("KEYS", "*")
    assert len(keys) == 5
    assert all(server.ask("PTTL", key.decode() if isinstance(key, bytes) else key) > 0 for key in keys)


def test_who_waits_behind_another_asks_again_when_that_one_gives_up(server: RedisServer) -> None:
    """A process that was killed passes no call on: others go on once its waiter's time is over."""
    now_us = _START_US
    ask = """
    slots.lease('x', 'a-0', ARGV[1] + 60000000, 0)
    slots.wait('x', 'dead-0', 'b', 9, ARGV[1] + 100000, 1)
    slots.wait('x', 'living-0', 'c', 9, ARGV[1] + 900000, 1)
    return {slots.next_end_ms('x', 'dead-0', 1, ARGV[1]), slots.next_end_ms('x', 'living-0', 1, ARGV[1])}
    """
    server.ask("FLUSHALL")
    script = f"local slots = (function()\n{_SCRIPT}\nend)()\n{ask}"
    # The first asks again when the lease ends by itself, the second when the first has given up.
    assert server.ask("EVAL", script, 1, "x", now_us) == [60_001, 101]
