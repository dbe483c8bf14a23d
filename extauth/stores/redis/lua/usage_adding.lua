-- Adding counts of one minute to their minute, hour and day: what a batch and a page of a journal have in common.
-- Both are JSON: a list of tiers and routes, each a JSON list in a text; a list of places, each with its key, its user
-- and the number of its tier and route; and a list of the numbers of each place, or one of all, as many of each.

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

-- Returns what was counted at one of so many places.
local function counts_at(counts, position, places)
  if type(counts[1]) == 'table' then return counts[position] end
  local width = #counts / places
  return {unpack(counts, (position - 1) * width + 1, position * width)}
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

-- Has what was counted at a place stand once among those of its kind: several of a user's keys may be in one batch.
local function add_place(group, name, where, number, numbers)
  local place = name .. ' ' .. where
  local position = group[place]
  if position then
    add_up(group.counts, position, numbers)
    return
  end
  position = #group.places + 1
  group[place], group.places[position] = position, place
  group.names[position], group.numbers[position] = name, number
  group.counts[position] = {unpack(numbers)}
end

-- Adds what was counted at places of one kind, by places that the period tells apart, or has room to: it tells a bounded
-- number of them apart.
local function add_group(step, kind, group, wheres)
  if #group.places == 0 then return end
  local places, told, scores = step.places[kind], step.told[kind], {}
  local known = call('ZMSCORE', places, unpack(group.places))
  for position, name in ipairs(group.names) do
    local score, number, numbers = known[position], group.numbers[position], group.counts[position]
    if score or told < step.most or name == step.other then
      if not score then told = told + 1 end
      scores[#scores + 1] = (tonumber(score) or 0) + requests_in(numbers)
      scores[#scores + 1] = group.places[position]
      put(step.hashes[kind] .. name, step.at .. wheres[number], step.kept, numbers)
    else
      add_up(step.others[kind], number, numbers)
    end
  end
  if #scores == 0 then return end
  call('ZADD', places, unpack(scores))
  if step.told[kind] == 0 then call('EXPIRE', places, step.kept) end
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
  local steps, groups, parts, sums = {}, {}, {}, {}
  for number = 1, 3 do steps[number] = step_of(prefix, first + 5 * (number - 1), ARGV[first + 15]) end
  for _, kind in ipairs({ 'key', 'user' }) do groups[kind] = { places = {}, names = {}, numbers = {}, counts = {} } end
  for position, place in ipairs(places) do
    local key, user, number = unpack(place)
    local numbers = trimmed(counts_at(counts, position, #places))
    -- A page has the places of the minute before it, and not all of them need have been counted at.
    if #numbers > 1 or numbers[1] > 0 then
      add_place(groups.key, key, wheres[number], number, numbers)
      add_place(groups.user, user, wheres[number], number, numbers)
      add_up(parts, number, numbers)
    end
  end
  for _, numbers in pairs(parts) do add_up(sums, 1, numbers) end
  for _, step in ipairs(steps) do
    for kind, group in pairs(groups) do add_group(step, kind, group, wheres) end
    add_together(step, wheres, parts, sums[1])
  end
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

