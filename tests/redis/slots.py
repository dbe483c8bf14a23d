"""Who holds slots in a Redis and who waits for them, as the keys tell."""

from __future__ import annotations

from collections.abc import Sequence

from tests.redis.server import RedisServer


def _count(servers: Sequence[RedisServer], names: str) -> int:
    """Count the members whose time isn't over; others are struck off by whoever looks at the limit next."""
    count = 0
    for server in servers:
        seconds, microseconds = map(int, server.ask("TIME"))
        now_us = seconds * 1_000_000 + microseconds
        for name in server.ask("KEYS", names):
            count += server.ask("ZCOUNT", name, f"({now_us}", "+inf")
    return count


def held(*servers: RedisServer, of: str = "*:slots:*") -> int:
    """Return how many slots are held, of all limits or of the one whose keys begin like this."""
    return _count(servers, f"{of}:leases")


def waiting(*servers: RedisServer) -> int:
    """Return how many wait, over all limits."""
    return _count(servers, "*:slots:*:until")


def filed(*servers: RedisServer) -> int:
    """Return of how many requests leases, or early ends, are filed."""
    return sum(len(server.ask("KEYS", "extauth:{request:*")) for server in servers)


# All in one step, as all changes are made; without a clock that goes on meanwhile.
_LOOK = """
local wrong = {}
for _, pattern in ipairs({'*:slots:*', 'extauth:{request:*'}) do
  for _, name in ipairs(redis.call('KEYS', pattern)) do
    if redis.call('PTTL', name) == -1 then wrong[#wrong + 1] = name .. ' never ends' end
    local base = string.match(name, '^(.*):order$')
    if base then
      local waiting = redis.call('ZCARD', name)
      local names = 0
      for _, field in ipairs(redis.call('HKEYS', base .. ':waiting')) do
        if string.sub(field, 1, 1) == 'w' then names = names + 1 end
      end
      if redis.call('ZCARD', base .. ':until') ~= waiting or names ~= waiting then
        wrong[#wrong + 1] = base .. ' is not sure who waits'
      end
    end
  end
end
return wrong
"""


def assert_all_end(*servers: RedisServer) -> None:
    """Hold that everything about requests in flight ends by itself, and agrees with itself."""
    assert [wrong for server in servers for wrong in server.ask("EVAL", _LOOK, 0)] == []
