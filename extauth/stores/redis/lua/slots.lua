-- The slots of one concurrency limit, as `throttle/slots.py` and `throttle/queue.py` have them: a module for scripts.
--
-- All keys of a limit begin alike and are in one slot. What is kept:
--   <base>:leases   sorted set of leases by when they end, in microseconds since 1970
--   <base>:order    sorted set of waiters by turn, then by number: members are the number, 16 digits, and the name
--   <base>:until    sorted set of waiters by when they give up
--   <base>:waiting  hash: `w<name>` turn, number and client of a waiter; `c<client>` how many wait, and the last turn;
--                   `round` and `came`, whose loss with the last waiter does no harm; `most`, the limit's
--   <base>:served   set of clients that were served in this round; there is none while nobody waits
-- All of it ends by itself once nobody holds or waits any more.
--
-- Who waits has a name that begins with the process that it waits in, up to the dash. That process hears on a channel
-- of its own that a waiter is called, or ousted.
local call, format, ceil = redis.call, string.format, math.ceil
-- See `throttle/queue.py`.
local MOST_SERVED = 10000
-- What is known of limits that nobody waits for, so that many checks of one limit don't ask for it again: how many
-- leases are held, and until which minute their set lasts. It holds for one time, the script's.
local held, lasting, known_at = {}, {}, nil

local function keys_of(base)
  return base .. ':leases', base .. ':order', base .. ':until', base .. ':waiting', base .. ':served'
end

local function member_of(number, name)
  return format('%016d', number) .. name
end

-- Has a sorted set end with the last of its members.
local function end_with_last(key)
  local last = call('ZRANGE', key, -1, -1, 'WITHSCORES')
  if last[2] then call('PEXPIREAT', key, ceil(last[2] / 1000)) end
  return last[2]
end

-- Returns the end of the minute, in milliseconds. Leases end as a set then: so it is told a new end once a minute, not
-- with each lease.
local function minute_of(until_us)
  return ceil(until_us / 60000000) * 60000
end

-- Adds a lease, with which the set may have to last longer.
local function add(base, name, until_us)
  local leases, minute = keys_of(base), minute_of(until_us)
  if not lasting[base] then
    local last = call('ZRANGE', leases, -1, -1, 'WITHSCORES')[2]
    lasting[base] = last and minute_of(tonumber(last)) or 0
  end
  local added = call('ZADD', leases, format('%d', until_us), name)
  if held[base] then held[base] = held[base] + added end
  if minute > lasting[base] then
    call('PEXPIREAT', leases, format('%d', minute))
    lasting[base] = minute
  end
end

-- Notes that a client has been served: it comes in the next round, if this was its turn in the one that is on.
local function serve(base, client, turn)
  local _, _, _, waiting, served = keys_of(base)
  local round = tonumber(call('HGET', waiting, 'round') or 0)
  if turn > round or call('SCARD', served) >= MOST_SERVED then call('DEL', served) end
  if turn > round then call('HSET', waiting, 'round', turn) end
  if turn >= round then
    call('SADD', served, client)
    call('PEXPIRE', served, call('PTTL', waiting))
  end
end

local function forget(base)
  held[base], lasting[base] = nil, nil
end

local function leave(base, name, is_served)
  local _, order, ends, waiting, served = keys_of(base)
  local waiter = call('HGET', waiting, 'w' .. name)
  if not waiter then return false end
  local turn, number, client = string.match(waiter, '^(%d+) (%d+) (.*)$')
  if is_served then serve(base, client, tonumber(turn)) end
  call('HDEL', waiting, 'w' .. name)
  call('ZREM', order, member_of(number, name))
  call('ZREM', ends, name)
  if call('ZCARD', order) == 0 then call('DEL', served) end
  local count, last = string.match(call('HGET', waiting, 'c' .. client), '^(%d+) (%d+)$')
  if count == '1' then
    call('HDEL', waiting, 'c' .. client)
  else
    call('HSET', waiting, 'c' .. client, format('%d %s', count - 1, last))
  end
  return true
end

-- Strikes off leases and waiters whose time is over; returns how many wait still, and how many leases these were.
local function expire(base, now_us)
  if now_us ~= known_at then held, lasting, known_at = {}, {}, now_us end
  if held[base] then return 0, 0 end
  local leases, order, ends = keys_of(base)
  local expired = call('ZREMRANGEBYSCORE', leases, '-inf', format('%d', now_us))
  local waiting = call('ZCARD', order)
  if waiting == 0 then
    held[base] = call('ZCARD', leases)
    return 0, expired
  end
  local late = call('ZRANGEBYSCORE', ends, '-inf', format('%d', now_us))
  for _, name in ipairs(late) do leave(base, name, false) end
  return waiting - #late, expired
end

local function turn_of_next(base, client)
  local _, _, _, waiting, served = keys_of(base)
  local round = tonumber(call('HGET', waiting, 'round') or 0)
  local known = call('HGET', waiting, 'c' .. client)
  if not known then return round + call('SISMEMBER', served, client) end
  return math.max(round, tonumber(string.match(known, ' (%d+)$')) + 1)
end

local slots = {leave = leave, expire = expire}

-- Whether there is a slot for this one, and nobody waits who comes before it; `count` is how many wait.
function slots.has_turn(base, name, most, count)
  local leases, order, _, waiting = keys_of(base)
  local free = most - (held[base] or call('ZCARD', leases))
  if free <= 0 then return false end
  if count == 0 then return true end
  local waiter = call('HGET', waiting, 'w' .. name)
  if not waiter then return count < free end
  local number = string.match(waiter, '^%d+ (%d+)')
  return call('ZRANK', order, member_of(number, name)) < free
end

-- Takes a slot, for one whose turn it is; `count` is how many wait.
function slots.lease(base, name, until_us, count)
  if count > 0 then leave(base, name, true) end
  add(base, name, until_us)
end

-- Waits for a slot; returns whether there was room to wait, and who had to give way for it.
function slots.wait(base, name, client, room, until_us, most)
  local _, order, ends, waiting = keys_of(base)
  forget(base)
  if call('HEXISTS', waiting, 'w' .. name) == 1 then return true end
  local turn, ousted = turn_of_next(base, client), nil
  if call('ZCARD', order) >= room then
    local last = call('ZRANGE', order, -1, -1, 'WITHSCORES')
    if not last[1] or tonumber(last[2]) <= turn then return false end
    ousted = string.sub(last[1], 17)
    leave(base, ousted, false)
  end
  local number = call('HINCRBY', waiting, 'came', 1)
  local count = string.match(call('HGET', waiting, 'c' .. client) or '0', '^%d+')
  call('HSET', waiting, 'w' .. name, format('%d %d %s', turn, number, client),
    'c' .. client, format('%d %d', count + 1, turn), 'most', most)
  call('ZADD', order, turn, member_of(number, name))
  call('ZADD', ends, format('%d', until_us), name)
  local last_us = end_with_last(ends)
  call('PEXPIREAT', order, ceil(last_us / 1000))
  call('PEXPIREAT', waiting, ceil(last_us / 1000))
  return true, ousted
end

-- Ends a lease, or the wait for one; returns whether there was a lease. `count` is how many wait.
function slots.let_go(base, name, count)
  local leases = keys_of(base)
  forget(base)
  if count > 0 then leave(base, name, false) end
  return call('ZREM', leases, name) == 1
end

-- Has a lease that is still held last longer.
function slots.renew(base, name, until_us)
  local leases = keys_of(base)
  if call('ZSCORE', leases, name) then add(base, name, until_us) end
end

-- Returns those whose turn has come.
function slots.called(base, most)
  local leases, order = keys_of(base)
  local free = most - call('ZCARD', leases)
  if free <= 0 then return {} end
  local names = call('ZRANGE', order, 0, free - 1)
  for place, member in ipairs(names) do names[place] = string.sub(member, 17) end
  return names
end

local function tell(word, name)
  -- A user of Redis may be forbidden to publish: then waiters ask again when they have waited enough.
  redis.pcall('PUBLISH', 'extauth:calls:' .. string.match(name, '^[^-]*'), word .. ' ' .. name)
end

-- Tells those whose turn has come.
function slots.call_next(base)
  local _, _, _, waiting = keys_of(base)
  local most = call('HGET', waiting, 'most')
  if not most then return end
  for _, name in ipairs(slots.called(base, tonumber(most))) do tell('call', name) end
end

-- Tells somebody that another one has its place.
function slots.oust(name)
  tell('oust', name)
end

-- Returns the milliseconds until this waiter may get a slot that nobody would call it for: a lease ends by itself, or
-- the one that waits before it gives up, whose process may be gone. 0 where there is none.
function slots.next_end_ms(base, name, most, now_us)
  local leases, order, ends, waiting = keys_of(base)
  local number = string.match(call('HGET', waiting, 'w' .. name) or '', '^%d+ (%d+)')
  if not number then return 0 end
  local place, next_us = call('ZRANK', order, member_of(number, name)), nil
  if place < most then next_us = tonumber(call('ZRANGE', leases, 0, 0, 'WITHSCORES')[2]) end
  if place > 0 then
    local before = string.sub(call('ZRANGE', order, place - 1, place - 1)[1], 17)
    local gives_up_us = tonumber(call('ZSCORE', ends, before))
    if not next_us or gives_up_us < next_us then next_us = gives_up_us end
  end
  return next_us and ceil((next_us - now_us) / 1000) + 1 or 0
end

return slots
