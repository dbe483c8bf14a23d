-- Adding counts of one minute to their minute, hour and day: what a batch and a page of a journal have in common.
-- Both are JSON: a list of tiers and routes, each a JSON list in a text; a list of places, each with its key, its user
-- and the number of its tier and route; and a list of the numbers of each place.

-- Counts requests at a place if its period tells it apart, or has room to: it tells a bounded number of places apart.
local function is_told_apart(step, kind, name, where, requests)
  local places, place, told = step.places[kind], name .. ' ' .. where, step.told[kind]
  if told >= step.most and name ~= step.other then return call('ZADD', places, 'XX', 'INCR', requests, place) end
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

-- Trailing zeros are left out of what is kept.
local function trimmed(numbers)
  for position = #numbers, 2, -1 do
    if numbers[position] ~= 0 then break end
    numbers[position] = nil
  end
  return numbers
end

-- Returns a step. Its arguments, from the first on: its name, its period, the place of the time within it, for how many
-- seconds it is kept, and how many places it tells apart.
local function step_of(prefix, first, other)
  local name, period, at, kept, most = unpack(ARGV, first, first + 4)
  local step = { at = at, kept = kept, most = tonumber(most), other = other }
  step.places, step.hashes, step.told, step.others = {}, {}, {}, { key = {}, user = {} }
  for _, kind in ipairs({ 'all', 'sum', 'key', 'user' }) do
    step.hashes[kind] = prefix .. name .. ':' .. kind .. ':' .. period .. ':'
  end
  for kind in pairs(step.others) do
    step.places[kind] = prefix .. name .. ':places:' .. kind .. ':' .. period
    step.told[kind] = call('ZCARD', step.places[kind])
  end
  begin_sum(step.hashes, step.kept)
  return step
end

-- Adds what was counted at one place.
local function add_place(steps, names, where, number, numbers)
  local requests = requests_in(numbers)
  for _, step in ipairs(steps) do
    for kind, name in pairs(names) do
      if is_told_apart(step, kind, name, where, requests) then
        put(step.hashes[kind] .. name, step.at .. where, step.kept, numbers)
      else
        add_up(step.others[kind], number, numbers)
      end
    end
  end
end

-- Adds what was counted at places that are not told apart, and everybody's, by tier and route and together.
local function add_together(step, wheres, parts, sum)
  for kind, others in pairs(step.others) do
    for number, numbers in pairs(others) do
      call('ZINCRBY', step.places[kind], requests_in(numbers), step.other .. ' ' .. wheres[number])
      put(step.hashes[kind] .. step.other, step.at .. wheres[number], step.kept, numbers)
    end
  end
  for number, numbers in pairs(parts) do put(step.hashes.all, step.at .. wheres[number], step.kept, numbers) end
  if sum then put(step.hashes.sum, step.at .. together, step.kept, sum) end
end

-- Adds counts to the three steps that the arguments tell from the first on; behind them stands what stands for all
-- others.
local function add_counts(prefix, first, told)
  local wheres, places, counts = unpack(decode(told))
  local steps, parts, sums = {}, {}, {}
  for number = 1, 3 do steps[number] = step_of(prefix, first + 5 * (number - 1), ARGV[first + 15]) end
  for position, place in ipairs(places) do
    local number, numbers = place[3], trimmed(counts[position])
    add_place(steps, { key = place[1], user = place[2] }, wheres[number], number, numbers)
    add_up(parts, number, numbers)
  end
  for _, numbers in pairs(parts) do add_up(sums, 1, numbers) end
  for _, step in ipairs(steps) do add_together(step, wheres, parts, sums[1]) end
end

-- Has it seen by whoever might take a journal over that its process goes on.
local function see_alive(journals, process, number)
  if call('HEXISTS', journals, process) == 1 then call('HSET', journals, process, number) end
end

-- Drops a page of a process's journal, and the journal from the list of them where it was the last.
local function drop_page(journals, journal, process, page)
  call('HDEL', journal, page)
  if call('EXISTS', journal) == 0 then call('HDEL', journals, process) end
end

