-- Adds counts of one minute to their minute, hour and day, once, and keeps the latest refusals.
-- KEYS: the number of the last batch of the process; what the names of all usage begin with, as its slot is one.
-- ARGV: the batch's number; how many seconds that is remembered; how many refusals of a key are kept, for how many
-- seconds; for each step its name, its period, the place of the time within it, for how many seconds it is kept, and
-- how many places it tells apart; what stands for all others; the counts, as JSON: a list of tiers and routes, each a
-- JSON list in a text, and a list of places, each with its key, its user, the number of its tier and route, and its
-- numbers; for each refusal its key, and itself as JSON.
local prefix, other = KEYS[2], ARGV[20]
if (tonumber(call('GET', KEYS[1])) or 0) >= tonumber(ARGV[1]) then return 0 end
call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])

-- Counts requests at a place if its period tells it apart, or has room to: it tells a bounded number of places apart.
local function is_told_apart(step, kind, name, where, requests)
  local places, place, told = step.places[kind], name .. ' ' .. where, step.told[kind]
  if told >= step.most and name ~= other then return call('ZADD', places, 'XX', 'INCR', requests, place) end
  if tonumber(call('ZINCRBY', places, requests, place)) == requests then
    step.told[kind] = told + 1
    if told == 0 then call('EXPIRE', places, step.kept) end
  end
  return true
end

-- Adds numbers to those that are listed under a number.
local function add_up(list, number, numbers)
  local sums = list[number] or {}
  for position = 1, #numbers do sums[position] = (sums[position] or 0) + numbers[position] end
  list[number] = sums
end

local function requests_in(numbers)
  local requests = 0
  for position = 1, math.min(#numbers, 5) do requests = requests + numbers[position] end
  return requests
end

local steps = {}
for first = 5, 15, 5 do
  local step = { at = ARGV[first + 2], kept = ARGV[first + 3], most = tonumber(ARGV[first + 4]) }
  step.places, step.hashes, step.told, step.others = {}, {}, {}, { key = {}, user = {} }
  for _, kind in ipairs({ 'all', 'sum', 'key', 'user' }) do
    step.hashes[kind] = prefix .. ARGV[first] .. ':' .. kind .. ':' .. ARGV[first + 1] .. ':'
  end
  for kind in pairs(step.others) do
    step.places[kind] = prefix .. ARGV[first] .. ':places:' .. kind .. ':' .. ARGV[first + 1]
    step.told[kind] = call('ZCARD', step.places[kind])
  end
  begin_sum(step.hashes, step.kept)
  steps[#steps + 1] = step
end
local wheres, places = unpack(decode(ARGV[21]))
local parts = {}
for _, place in ipairs(places) do
  local names, number, numbers = { key = place[1], user = place[2] }, place[3], place[4]
  local where, requests = wheres[number], requests_in(numbers)
  for _, step in ipairs(steps) do
    for kind, name in pairs(names) do
      if is_told_apart(step, kind, name, where, requests) then
        put(step.hashes[kind] .. name, step.at .. where, step.kept, numbers)
      else
        add_up(step.others[kind], number, numbers)
      end
    end
  end
  add_up(parts, number, numbers)
end
local sums = {}
for _, numbers in pairs(parts) do add_up(sums, 1, numbers) end
for _, step in ipairs(steps) do
  for kind, others in pairs(step.others) do
    for number, numbers in pairs(others) do
      call('ZINCRBY', step.places[kind], requests_in(numbers), other .. ' ' .. wheres[number])
      put(step.hashes[kind] .. other, step.at .. wheres[number], step.kept, numbers)
    end
  end
  for number, numbers in pairs(parts) do put(step.hashes.all, step.at .. wheres[number], step.kept, numbers) end
  if sums[1] then put(step.hashes.sum, step.at .. together, step.kept, sums[1]) end
end
for first = 22, #ARGV, 2 do
  local refusals = prefix .. 'refusals:' .. ARGV[first]
  call('LPUSH', refusals, ARGV[first + 1])
  call('LTRIM', refusals, 0, ARGV[3] - 1)
  call('EXPIRE', refusals, ARGV[4])
end
return 1
