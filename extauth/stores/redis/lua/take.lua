-- Takes the limits of many checks, each all or none, by this server's clock.
--
-- `algorithms` stands before this text: the step of each algorithm by its number; so does `slots`. All binary numbers
-- are big-endian.
--
-- What was spent of a subject's limits is one string: how many there are 2, their names (length 1, name), then the
-- state of each, four numbers of 8. It ends when all of them are clear again.
--
-- ARGV holds for each check its specification, then for each subject the beginning of its string, up to the names.
-- The specification:
--   version 8, what the check believes to be the version of the key's record; 0 where there is no key
--   mode 1: 0 takes, 1 only looks, 2 gives back what was taken, 3 forgets what was spent, 4 counts violations of a
--     cool-down, as many as the last of its numbers says. A check that is refused counts one for itself
--   subjects 1
--   limits on requests in flight 1, plus 128 where the check can't wait for them
--   for each subject
--     limits 1, then for each of them
--       kind 1, the algorithm's number, plus 128 where the limit is in shadow
--       five numbers of 8, those of the algorithm
--   for each limit on requests in flight how many there may be 4, microseconds of a lease 8, how many may wait 4, and
--     how many microseconds 8
-- If there are such limits, then the name of the check, that of whom it takes turns for, and the whole lease as proxies
-- report it, empty where it is not filed here.
-- KEYS holds for each check the key's record, where there is a version, then the string of each subject, then the
-- beginning of the keys of each limit on requests in flight, then the set of the request's leases, where it is filed.
--
-- The reply is binary too: the time in microseconds 8, then for each check
--   version 8, as it is now; where it differs from the expected one nothing was taken, and nothing else follows
--   allowed 1, then for each limit whether it has room 1
--   then for each limit its state, four numbers of 8: as it is now stored
--   then, if there are limits on requests in flight, what became of the slots 1: 0 nothing, 1 taken, 2 the check waits,
--     3 it can't wait; which limit had none 1; in how many milliseconds to ask again 4, 0 to wait for a call; how many
--     leases had ended by themselves 4
local pack, unpack_from, call, concat = struct.pack, struct.unpack, redis.call, table.concat
local sub, byte, ceil = string.sub, string.byte, math.ceil
local STATE, STATE_SIZE = '>I8I8I8I8', 32
local TAKE, LOOK, GIVE_BACK, RESET, VIOLATE = 0, 1, 2, 3, 4
local NOTHING = pack(STATE, 0, 0, 0, 0)

local time = call('TIME')
local now_us = time[1] * 1000000 + time[2]
local replies, number = {pack('>I8', now_us)}, 1
local key, argument = 1, 1

-- Of the check at hand. By subject: what is stored, where its states begin, how many limits it has, and what else
-- is stored. By limit: its new state, whether it has room, and the state that is kept although it refuses.
local values, starts, counts, others = {}, {}, {}, {}
local after, rooms, kept = {}, {}, {}
-- Of its cool-down, if it has one that lets it pass: which limit that is, its algorithm, its state and its numbers.
local cool_down, cooling, state_of, numbers_of

local function count_of(text)
  local high, low = byte(text, 1, 2)
  return high * 256 + low
end

-- Puts the states of a string with other names, or in another order, in the order asked for; returns the others.
local function in_order(value, names)
  local states, known, at = {}, {}, 3
  for place = 1, count_of(value) do
    local length = byte(value, at)
    known[place] = sub(value, at, at + length)
    at = at + length + 1
  end
  for _, name in ipairs(known) do
    states[name] = sub(value, at, at + STATE_SIZE - 1)
    at = at + STATE_SIZE
  end
  local ordered = {}
  at = 3
  for place = 1, count_of(names) do
    local length = byte(names, at)
    local name = sub(names, at, at + length)
    ordered[place] = states[name] or NOTHING
    states[name] = nil
    at = at + length + 1
  end
  return concat(ordered), states
end

-- Returns the string of the limits together with what else is stored and not clear yet, and when all is clear.
local function with_others(names, body, clear_at_us, remaining)
  local count, known, states = count_of(names), {sub(names, 3)}, {body}
  for name, state in pairs(remaining) do
    local _, _, _, clear = unpack_from(STATE, state)
    if clear > now_us then
      count = count + 1
      known[#known + 1], states[#states + 1] = name, state
      if clear > clear_at_us then clear_at_us = clear end
    end
  end
  return pack('>I2', count) .. concat(known) .. concat(states), clear_at_us
end

-- Steps all limits of a subject from `first` on; returns whether they have room, where the specification goes on,
-- and when what is stored is clear.
local function step(spec, at, value, start, first, limits, mode)
  local allowed, clear_at_us = true, 0
  for limit = first, first + limits - 1 do
    local kind, n1, n2, n3, n4, n5
    kind, n1, n2, n3, n4, n5, at = unpack_from('>BI8I8I8I8I8', spec, at)
    local a, b, c, d = 0, 0, 0, 0
    if value then a, b, c, d = unpack_from(STATE, value, start + (limit - first) * STATE_SIZE) end
    local shadow, room = kind > 127, nil
    if shadow then kind = kind - 128 end
    local a2, b2, c2, d2
    if mode == GIVE_BACK then
      room, a2, b2, c2, d2 = true, algorithms[kind].give_back(a, b, c, d, n1, n2, n3, n4, n5, now_us)
    elseif mode == RESET then
      room, a2, b2, c2, d2 = true, 0, 0, 0, 0
    elseif mode == VIOLATE then
      room, a2, b2, c2, d2 = true, algorithms[kind].violate(a, b, c, d, n1, n2, n3, n4, n5, now_us)
    else
      room, a2, b2, c2, d2 = algorithms[kind].step(a, b, c, d, n1, n2, n3, n4, n5, now_us)
      if room and algorithms[kind].violate then
        cool_down, cooling = limit, algorithms[kind]
        state_of, numbers_of = {a, b, c, d}, {n1, n2, n3, n4, n5}
      end
    end
    -- Where the clock jumped back or the limit was changed, the time told to wait holds from the new state on.
    local moved = not room and d > 0 and d2 ~= d
    if not room then
      if not moved then a2, b2, c2, d2 = a, b, c, d end
      if not shadow then allowed = false end
    end
    rooms[limit], after[limit] = room and '\1' or '\0', pack(STATE, a2, b2, c2, d2)
    kept[limit] = moved and not shadow and after[limit] or nil
    if d2 > clear_at_us then clear_at_us = d2 end
  end
  return allowed, at, clear_at_us
end

-- Counts the refusal of a check. Its cool-down keeps that, and may refuse from now on.
local function violate()
  local s, n = state_of, numbers_of
  local a, b, c, d = cooling.violate(s[1], s[2], s[3], s[4], n[1], n[2], n[3], n[4], n[5], now_us)
  kept[cool_down] = pack(STATE, a, b, c, d)
  if not cooling.step(a, b, c, d, n[1], n[2], n[3], n[4], n[5], now_us) then rooms[cool_down] = '\0' end
end

-- Returns the states of a check that was refused, from `first` on, those that are kept in place; and when they are
-- clear, 0 where none is kept.
local function with_kept(body, first, limits)
  local states, any, clear_at_us = {}, false, 0
  for number = 1, limits do
    local state = kept[first + number - 1]
    if state then any = true else state = sub(body, (number - 1) * STATE_SIZE + 1, number * STATE_SIZE) end
    local _, _, _, clear = unpack_from(STATE, state)
    if clear > clear_at_us then clear_at_us = clear end
    states[number] = state
  end
  return concat(states), any and clear_at_us or 0
end

-- Stores the string of a subject, together with what else is stored.
local function store(name, names, body, clear_at_us, remaining)
  local value = names .. body
  if remaining then value, clear_at_us = with_others(names, body, clear_at_us, remaining) end
  if clear_at_us > now_us then
    call('SET', name, value, 'PXAT', ceil(clear_at_us / 1000))
  else
    call('DEL', name)
  end
end

-- Takes a slot of each limit on requests in flight, if the check is allowed so far, or lets it wait for one; returns
-- whether it is allowed, and what to reply.
local function occupy(spec, at, first, names, places, allowed, mode)
  local may_wait = places < 128
  if not may_wait then places = places - 128 end
  local name, client, lease = ARGV[names], ARGV[names + 1], ARGV[names + 2]
  local limits, waiting, blocked, expired = {}, {}, nil, 0
  for place = 1, places do
    local base, limit = KEYS[first + place - 1], {}
    limit.most, limit.lease_us, limit.queue, limit.wait_us, at = unpack_from('>I4I8I4I8', spec, at)
    limits[place] = limit
    local over
    waiting[place], over = slots.expire(base, now_us)
    expired = expired + over
    if mode == GIVE_BACK then
      slots.let_go(base, name, waiting[place])
      if waiting[place] > 0 then slots.call_next(base) end
    elseif not blocked and not slots.has_turn(base, name, limit.most, waiting[place]) then
      blocked = place
    end
  end
  if mode == GIVE_BACK then return allowed, pack('>BBI4I4', 0, 0, 0, expired) end
  -- Its end was reported before it came here: see `leases.lua`.
  local ended = lease ~= '' and call('SISMEMBER', KEYS[first + places], '!') == 1
  if ended then blocked, may_wait = 1, false end
  if allowed and not blocked then
    local longest_us = 0
    for place, limit in ipairs(limits) do
      slots.lease(KEYS[first + place - 1], name, now_us + limit.lease_us, waiting[place])
      longest_us = math.max(longest_us, limit.lease_us)
    end
    if lease ~= '' then
      local filed = KEYS[first + places]
      call('SADD', filed, lease)
      -- A lease of the same request may last longer.
      call('PEXPIRE', filed, math.max(ceil(longest_us / 1000), call('PTTL', filed)))
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

local ends = {}

while ARGV[argument] do
  local spec = ARGV[argument]
  local version, mode, subjects, places, at = unpack_from('>I8BBB', spec)
  local current, verdict = version, nil
  if version > 0 then
    current = tonumber(call('HGET', KEYS[key], 'version') or 0)
    key = key + 1
  end
  number = number + 1
  replies[number] = pack('>I8', current)
  if current == version then
    local allowed, limit = true, 0
    cool_down = nil
    for subject = 1, subjects do
      local names = ARGV[argument + subject]
      local value, start, remaining = call('GET', KEYS[key + subject - 1]), #names + 1, nil
      if value and sub(value, 1, start - 1) ~= names then
        value, remaining = in_order(value, names)
        start = 1
      end
      local limits, room = byte(spec, at), nil
      room, at, ends[subject] = step(spec, at + 1, value, start, limit + 1, limits, mode)
      allowed = allowed and room
      values[subject], starts[subject], counts[subject], others[subject] = value, start, limits, remaining
      limit = limit + limits
    end
    if cool_down and not allowed and mode == TAKE then violate() end
    if places > 0 then
      allowed, verdict = occupy(spec, at, key + subjects, argument + subjects + 1, places, allowed, mode)
    end
    replies[number + 1] = (allowed and '\1' or '\0') .. concat(rooms, '', 1, limit)
    number = number + 1
    local first = 1
    for subject = 1, subjects do
      local body, limits = nil, counts[subject]
      local name, names = KEYS[key + subject - 1], ARGV[argument + subject]
      if allowed and mode ~= LOOK then
        body = concat(after, '', first, first + limits - 1)
        store(name, names, body, ends[subject], others[subject])
      else
        local value, start = values[subject], starts[subject]
        body = value and sub(value, start, start + limits * STATE_SIZE - 1) or string.rep(NOTHING, limits)
        if mode ~= LOOK then
          local clear_at_us
          body, clear_at_us = with_kept(body, first, limits)
          if clear_at_us > 0 then store(name, names, body, clear_at_us, others[subject]) end
        end
      end
      number = number + 1
      replies[number] = body
      first = first + limits
    end
    if verdict then
      number = number + 1
      replies[number] = verdict
    end
  end
  key, argument = key + subjects, argument + subjects + 1
  if places > 0 then
    key = key + places % 128 + (ARGV[argument + 2] ~= '' and 1 or 0)
    argument = argument + 3
  end
end

return concat(replies)
