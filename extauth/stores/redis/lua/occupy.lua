-- Loads what takes slots for checks: a module for `take.lua`, with `slots` and the time `now_us`, which stand before it.
-- `terms` are those that `take.lua` reads.
local pack, call, ceil, max = struct.pack, redis.call, math.ceil, math.max
local GIVE_BACK = 2

-- Takes a slot of each limit on requests in flight, if the check is allowed so far, or lets it wait for one; returns
-- whether it is allowed, and what to reply.
return function(terms, first, names, allowed)
  local may_wait, limits, gives_back = terms.may_wait, terms.in_flight, terms.mode == GIVE_BACK
  local name, client, lease = ARGV[names], ARGV[names + 1], ARGV[names + 2]
  local places, waiting, blocked, expired = #limits, {}, nil, 0
  for place, limit in ipairs(limits) do
    local base = KEYS[first + place - 1]
    local over
    waiting[place], over = slots.expire(base, now_us)
    expired = expired + over
    if gives_back then
      slots.let_go(base, name, waiting[place])
      if waiting[place] > 0 then slots.call_next(base) end
    elseif not blocked and not slots.has_turn(base, name, limit.most, waiting[place]) then
      blocked = place
    end
  end
  if gives_back then return allowed, pack('>BBI4I4', 0, 0, 0, expired) end
  -- Its end was reported before it came here: see `leases.lua`.
  local ended = lease ~= '' and call('SISMEMBER', KEYS[first + places], '!') == 1
  if ended then blocked, may_wait = 1, false end
  if allowed and not blocked then
    local longest_us = 0
    for place, limit in ipairs(limits) do
      slots.lease(KEYS[first + place - 1], name, now_us + limit.lease_us, waiting[place])
      longest_us = max(longest_us, limit.lease_us)
    end
    if lease ~= '' then
      local filed = KEYS[first + places]
      call('SADD', filed, lease)
      -- A lease of the same request may last longer.
      call('PEXPIRE', filed, max(ceil(longest_us / 1000), call('PTTL', filed)))
    end
    return true, pack('>BBI4I4', 1, 0, 0, expired)
  end
  -- It waits for one limit at a time, and for none that wouldn't help.
  for place = 1, places do
    local base = KEYS[first + place - 1]
    local stays = allowed and may_wait and place == blocked
    if not stays and waiting[place] > 0 and slots.leave(base, name, false) then slots.call_next(base) end
  end
  if not allowed then return false, pack('>BBI4I4', 0, 0, 0, expired) end
  if not may_wait then return false, pack('>BBI4I4', 3, blocked - 1, 0, expired) end
  local base, limit = KEYS[first + blocked - 1], limits[blocked]
  local waits, ousted = slots.wait(base, name, client, limit.queue, now_us + limit.wait_us, limit.most)
  if ousted then slots.oust(ousted) end
  if not waits then return false, pack('>BBI4I4', 3, blocked - 1, 0, expired) end
  return false, pack('>BBI4I4', 2, blocked - 1, slots.next_end_ms(base, name, limit.most, now_us), expired)
end
