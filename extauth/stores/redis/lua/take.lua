-- Takes the limits of many checks, each all or none, by this server's clock.
--
-- Before this text stand functions that load what few calls need all of: those of `algorithms` by their numbers,
-- `load_others`, `load_slots` and `load_occupy`. All binary numbers are big-endian.
--
-- What was spent of a subject's limits is one string: how many there are 2, their names (length 1, name), then the
-- state of each, four numbers of 8. It ends when all of them are clear again. It is read once and stored once for all
-- checks of a call that are of several subjects, and for those of one subject alone that follow each other.
--
-- ARGV[1] tells how many terms there are 2, then for each check
--   by which of the terms it takes 2
--   what it believes to be the version of the key's record: length 1, decimal digits; none where there is no key
-- The terms follow, one argument each, for the checks of a tier have the same:
--   mode 1: 0 takes, 1 only looks, 2 gives back what was taken, 3 forgets what was spent, 4 counts violations of a
--     cool-down, as many as the last of its numbers says. A check that is refused counts one for itself
--   subjects 1
--   limits on requests in flight 1, plus 128 where the check can't wait for them
--   for each subject
--     length 2, then the beginning of its string, up to the names
--     for each limit in it
--       kind 1, the algorithm's number, plus 128 where the limit is in shadow
--       five numbers of 8, those of the algorithm
--   for each limit on requests in flight how many there may be 4, microseconds of a lease 8, how many may wait 4, and
--     how many microseconds 8
-- After them, for each check that has limits on requests in flight, come its name, that of whom it takes turns for, and
-- the whole lease as proxies report it, empty where it is not filed here.
-- KEYS holds for each check the key's record, where there is a version, then the string of each subject, then the
-- beginning of the keys of each limit on requests in flight, then the set of the request's leases, where it is filed.
--
-- The reply is binary too: the time in microseconds 8, then for each check
--   what came of it 1: 1 allowed, 0 refused, 2 where the record has another version: then nothing was taken, and
--     nothing else follows
--   for each limit whether it has room 1
--   then for each limit its state, four numbers of 8: as it is now stored
--   then, if there are limits on requests in flight, what became of the slots 1: 0 nothing, 1 taken, 2 the check waits,
--     3 it can't wait; which limit had none 1; in how many milliseconds to ask again 4, 0 to wait for a call; how many
--     leases had ended by themselves 4
local pack, unpack_from, call, concat = struct.pack, struct.unpack, redis.call, table.concat
local sub, byte, rep, format, ceil = string.sub, string.byte, string.rep, string.format, math.ceil
local TAKE, LOOK, GIVE_BACK, RESET, VIOLATE = 0, 1, 2, 3, 4
-- Of how many limits the states have room in the one list of numbers that checks of a single subject share.
local MOST_OF_SINGLE = 4
local NOTHING = pack('>I8I8I8I8', 0, 0, 0, 0)

local time = call('TIME')
local now_us = time[1] * 1000000 + time[2]
local occupy, in_order, with_others

local function count_of(text)
  local high, low = byte(text, 1, 2)
  return high * 256 + low
end

-- Returns a limit of the terms: the functions of its algorithm, then its numbers by place.
local function limit_at(spec, at)
  local kind, n1, n2, n3, n4, n5, rest = unpack_from('>BI8I8I8I8I8', spec, at)
  local shadow = kind > 127
  if shadow then kind = kind - 128 end
  local known = algorithms[kind]
  if type(known) == 'function' then
    known = known()
    algorithms[kind] = known
  end
  local step, give_back, violate = known.step, known.give_back, known.violate
  return {n1, n2, n3, n4, n5, step = step, give_back = give_back, violate = violate, shadow = shadow}, rest
end

-- Reads terms: once, however many checks share them.
local function read_terms(spec)
  local mode, subjects, places, at = unpack_from('>BBB', spec)
  local in_flight = {}
  local terms = {mode = mode, may_wait = places < 128, in_flight = in_flight, full = ''}
  local limits = 0
  for number = 1, subjects do
    local names, rest = unpack_from('>I2c0', spec, at)
    local count = count_of(names)
    local subject = {names = names, count = count, format = '>' .. rep('I8I8I8I8', count)}
    at, limits = rest, limits + count
    for place = 1, count do subject[place], at = limit_at(spec, at) end
    terms[number] = subject
  end
  for number = 1, places % 128 do
    local limit = {}
    limit.most, limit.lease_us, limit.queue, limit.wait_us, at = unpack_from('>I4I8I4I8', spec, at)
    in_flight[number] = limit
  end
  terms.full = rep('\1', 1 + limits)
  terms.is_single = mode == TAKE and subjects == 1 and places % 128 == 0 and limits <= MOST_OF_SINGLE
  return terms
end

-- When the last of these states is clear.
local function clear_of(states)
  local clear_at_us = 0
  for at = 4, #states, 4 do
    if states[at] > clear_at_us then clear_at_us = states[at] end
  end
  return clear_at_us
end

-- What is known of each subject: its states as numbers, and as they are stored, in the body from a place on; which
-- others are stored beside them, when what is stored ends, and whether it changed. Lists, as there is one for nearly
-- each check of a call: tables with names take more memory, and more time to make.
local known = {}
local NAMES, BODY, PLACE, STATES, OTHERS, LASTS_US, CHANGED = 1, 2, 3, 4, 5, 6, 7

local function read(key, subject)
  local names, body, place, others, lasts_us = subject.names, call('GET', key), 1, nil, nil
  local is_stored = body
  if not body then
    body = rep(NOTHING, subject.count)
  elseif sub(body, 1, #names) == names then
    place = #names + 1
  else
    if not in_order then in_order, with_others = load_others(count_of, now_us) end
    body, others = in_order(body, names)
  end
  local states = {unpack_from(subject.format, body, place)}
  if is_stored and not others then lasts_us = clear_of(states) end
  local one = {names, body, place, states, others, lasts_us, false}
  known[key] = one
  return one
end

-- Stores a string that ended at `lasts_us`, if that is known and it had these names.
local function put(key, names, body, clear_at_us, lasts_us)
  if clear_at_us <= now_us then
    call('DEL', key)
  elseif clear_at_us == lasts_us then
    -- It ends when it did, as always while a quota is what ends last. That costs less.
    call('SETRANGE', key, #names, body)
  else
    call('SET', key, names .. body, 'PXAT', format('%d', ceil(clear_at_us / 1000)))
  end
end

-- Stores the string of a subject, if it changed.
local function store(key, one)
  if not one[CHANGED] then return end
  local names, body, clear_at_us = one[NAMES], one[BODY], clear_of(one[STATES])
  if one[OTHERS] then names, body, clear_at_us = with_others(names, body, clear_at_us, one[OTHERS]) end
  put(key, names, body, clear_at_us, one[LASTS_US])
end

-- Of the check at hand, by limit: '\0' where it has no room, and whether its state is kept although it refuses.
local rooms, kept = {}, {}
-- Its cool-down, if it has one that lets it pass: which of its limits that is, its terms, its state before, and whose
-- states it is among, where.
local cool_down, cooling, cooling_state, cooling_states, cooling_at

-- Steps the limits of a subject, of which `before` others have been stepped; returns whether all have room, and
-- whether those have that may refuse.
local function step(subject, states, before, mode)
  local full, allowed = true, true
  for place = 1, subject.count do
    local limit, at = subject[place], place * 4
    local a, b, c, d = states[at - 3], states[at - 2], states[at - 1], states[at]
    local room, a2, b2, c2, d2 = true, 0, 0, 0, 0
    if mode <= LOOK then
      room, a2, b2, c2, d2 = limit.step(a, b, c, d, limit[1], limit[2], limit[3], limit[4], limit[5], now_us)
      if room and limit.violate then
        cool_down, cooling, cooling_state, cooling_states, cooling_at = before + place, limit, {a, b, c, d}, states, at
      end
    elseif mode == GIVE_BACK then
      a2, b2, c2, d2 = limit.give_back(a, b, c, d, limit[1], limit[2], limit[3], limit[4], limit[5], now_us)
    elseif mode == VIOLATE then
      a2, b2, c2, d2 = limit.violate(a, b, c, d, limit[1], limit[2], limit[3], limit[4], limit[5], now_us)
    end
    -- Where the clock jumped back or the limit was changed, the time told to wait holds from the new state on.
    local moved = room or (d > 0 and d2 ~= d)
    if moved then states[at - 3], states[at - 2], states[at - 1], states[at] = a2, b2, c2, d2 end
    if not room then
      full, rooms[before + place], kept[before + place] = false, '\0', moved and not limit.shadow
      if not limit.shadow then allowed = false end
    end
  end
  return full, allowed
end

-- Counts the refusal of a check. Its cool-down keeps that, and may refuse from now on.
local function violate()
  local n, s, at = cooling, cooling_state, cooling_at
  local a, b, c, d = n.violate(s[1], s[2], s[3], s[4], n[1], n[2], n[3], n[4], n[5], now_us)
  cooling_states[at - 3], cooling_states[at - 2], cooling_states[at - 1], cooling_states[at] = a, b, c, d
  kept[cool_down] = true
  if not n.step(a, b, c, d, n[1], n[2], n[3], n[4], n[5], now_us) then rooms[cool_down] = '\0' end
end

-- Undoes the steps of a subject, but for the states that are kept; tells whether there are any.
local function undo(subject, one, before)
  local states, any = one[STATES], false
  local stored = {unpack_from(subject.format, one[BODY], one[PLACE])}
  for place = 1, subject.count do
    if kept[before + place] then
      any = true
    else
      for at = place * 4 - 3, place * 4 do states[at] = stored[at] end
    end
  end
  return any
end

local replies, number = {pack('>I8', now_us)}, 1
local terms_by, versions, subjects = {}, {}, {}
local checks, at = ARGV[1], 3
local key, argument = 1, count_of(checks) + 2

local function version_of(record)
  local version = versions[record] or call('HGET', record, 'version') or ''
  versions[record] = version
  return version
end

-- Of the subject of the check before, where that had no other and no limit refused it: its key, what the terms say of
-- it, its states as they are to be stored, if they changed, when the last of them is clear, and when what is stored
-- ends. Its states as numbers stand in one list for all subjects: in most calls each check has another.
local single, single_subject, single_body, single_clear_us, single_lasts_us
local numbers = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}

local function store_single()
  if single and single_body then put(single, single_subject.names, single_body, single_clear_us, single_lasts_us) end
  single, single_body = nil, nil
end

-- Reads the string of a subject into the numbers; returns false where there are other names in it.
local function read_single(key, subject)
  store_single()
  local names, body, n, place = subject.names, call('GET', key), numbers, 1
  single_lasts_us = nil
  if not body then
    body = rep(NOTHING, subject.count)
  elseif sub(body, 1, #names) == names then
    place, single_lasts_us = #names + 1, 0
  else
    return false
  end
  n[1], n[2], n[3], n[4], n[5], n[6], n[7], n[8], n[9], n[10], n[11], n[12], n[13], n[14], n[15], n[16] =
    unpack_from(subject.format, body, place)
  if single_lasts_us then
    for at = 4, subject.count * 4, 4 do
      if n[at] > single_lasts_us then single_lasts_us = n[at] end
    end
  end
  single, single_subject = key, subject
  return true
end

-- Takes for a check of one subject, all of whose limits have room. Returns false where that isn't so: then nothing was
-- taken, and what was taken before is to be stored. As `take` does, but for most checks, so without a list for each.
local function take_single(terms, key)
  local subject, n = terms[1], numbers
  if (key ~= single or subject ~= single_subject) and not read_single(key, subject) then return false end
  local clear_at_us = 0
  for place = 1, subject.count do
    local limit, at = subject[place], place * 4
    local room, a, b, c, d = limit.step(
      n[at - 3], n[at - 2], n[at - 1], n[at], limit[1], limit[2], limit[3], limit[4], limit[5], now_us
    )
    if not room then return false end
    n[at - 3], n[at - 2], n[at - 1], n[at] = a, b, c, d
    if d > clear_at_us then clear_at_us = d end
  end
  single_body, single_clear_us = pack(subject.format, unpack(n, 1, subject.count * 4)), clear_at_us
  replies[number + 1], replies[number + 2] = terms.full, single_body
  number = number + 2
  return true
end

-- Returns for each limit of the check at hand whether it has room.
local function rooms_of(limits)
  for limit = 1, limits do rooms[limit] = rooms[limit] or '\1' end
  return concat(rooms, '', 1, limits)
end

-- Takes by the terms; the keys of the subjects begin at `key`. Adds to the replies.
local function take(terms)
  if terms.is_single and not known[KEYS[key]] and take_single(terms, KEYS[key]) then return end
  store_single()
  local full, allowed, mode, limits, verdict = true, true, terms.mode, 0, nil
  cool_down = nil
  for place = 1, #terms do
    local subject, name = terms[place], KEYS[key + place - 1]
    local one = known[name]
    if one and one[NAMES] ~= subject.names then
      -- Other limits of it, or in another order.
      store(name, one)
      one = nil
    end
    one = one or read(name, subject)
    subjects[place] = one
    local all, enough = step(subject, one[STATES], limits, mode)
    full, allowed, limits = full and all, allowed and enough, limits + subject.count
  end
  if cool_down and not allowed and mode == TAKE then violate() end
  if #terms.in_flight > 0 then
    occupy = occupy or load_occupy(load_slots(), now_us)
    allowed, verdict = occupy(terms, key + #terms, argument, allowed)
  end
  number = number + 1
  full = full and allowed
  replies[number] = full and terms.full or (allowed and '\1' or '\0') .. rooms_of(limits)
  if mode == LOOK then kept = {} end
  limits = 0
  for place = 1, #terms do
    local subject, one = terms[place], subjects[place]
    if mode ~= LOOK and allowed or undo(subject, one, limits) then
      one[BODY], one[PLACE] = pack(subject.format, unpack(one[STATES], 1, subject.count * 4)), 1
      one[CHANGED] = true
    elseif one[PLACE] > 1 then
      one[BODY], one[PLACE] = sub(one[BODY], one[PLACE]), 1
    end
    limits = limits + subject.count
    number = number + 1
    replies[number] = one[BODY]
  end
  if not full then rooms, kept = {}, {} end
  if verdict then
    number = number + 1
    replies[number] = verdict
  end
end

while at <= #checks do
  local which, expected, after = unpack_from('>I2Bc0', checks, at)
  local terms = terms_by[which] or read_terms(ARGV[which + 2])
  terms_by[which], at = terms, after
  local is_current = true
  if expected ~= '' then
    is_current = version_of(KEYS[key]) == expected
    key = key + 1
  end
  if is_current then
    take(terms)
  else
    number = number + 1
    replies[number] = '\2'
  end
  key = key + #terms
  local in_flight = #terms.in_flight
  if in_flight > 0 then
    key = key + in_flight + (ARGV[argument + 2] ~= '' and 1 or 0)
    argument = argument + 3
  end
end

store_single()
for name, one in pairs(known) do store(name, one) end

return concat(replies)
