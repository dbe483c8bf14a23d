"""Runs the Lua twins of the limit algorithms in a Redis: many steps on one bucket in one call."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib import resources
from typing import NamedTuple

from extauth.limits.algorithm import Algorithm, BucketState, Numbers
from extauth.limits.cool_down import violate
from tests.redis.server import RedisServer

# ARGV holds for each step what to do, the five numbers and the time. Redis answers whole numbers as they are.
_HARNESS = """
local a, b, c, d = 0, 0, 0, 0
local said = {}
for at = 1, #ARGV, 7 do
  local n = {}
  for place = 1, 6 do n[place] = tonumber(ARGV[at + place]) end
  local allowed = true
  if ARGV[at] == 'take' then
    allowed, a, b, c, d = twin.step(a, b, c, d, n[1], n[2], n[3], n[4], n[5], n[6])
  elseif ARGV[at] == 'violate' then
    a, b, c, d = twin.violate(a, b, c, d, n[1], n[2], n[3], n[4], n[5], n[6])
  else
    a, b, c, d = twin.give_back(a, b, c, d, n[1], n[2], n[3], n[4], n[5], n[6])
  end
  for _, number in ipairs({a, b, c, d}) do
    assert(number >= 0 and number < 2^53 and number == math.floor(number), 'no whole number below 2^53')
  end
  said[#said + 1] = {allowed and 1 or 0, a, b, c, d}
end
return said
"""

Outcome = tuple[bool, BucketState]


class TwinStep(NamedTuple):
    """What to do with the bucket."""

    gives_back: bool
    numbers: Numbers
    now_us: int
    violates: bool = False


def run_in_python(algorithm: Algorithm, steps: Iterable[TwinStep]) -> list[Outcome]:
    """Return what comes of each step, from an unused bucket on."""
    state: BucketState | None = None
    outcomes = []
    for step in steps:
        allowed = True
        if step.violates:
            state = violate(state, step.numbers, step.now_us)
        elif step.gives_back:
            state = algorithm.give_back(state, step.numbers, step.now_us)
        else:
            allowed, state = algorithm.step(state, step.numbers, step.now_us)
        outcomes.append((allowed, state))
    return outcomes


def run_in_lua(server: RedisServer, algorithm: Algorithm, steps: Sequence[TwinStep]) -> list[Outcome]:
    """Do the same by the algorithm's twin."""
    text = (resources.files("extauth.limits") / f"{algorithm.name}.lua").read_text(encoding="utf-8")
    script = f"local twin = (function()\n{text}\nend)()\n{_HARNESS}"
    arguments: list[str | int] = []
    for step in steps:
        does = "violate" if step.violates else "give back" if step.gives_back else "take"
        arguments += [does, *step.numbers, step.now_us]
    said = server.ask("EVAL", script, 0, *arguments)
    return [(allowed == 1, (first, second, third, last)) for allowed, first, second, third, last in said]
