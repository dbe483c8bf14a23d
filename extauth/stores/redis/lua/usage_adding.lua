-- Adding counts of one minute to their minute, hour and day: what a batch and a page of a journal have in common.
-- Both are JSON: a list of tiers and routes, each a JSON list in a text; a list of places, each with its key, its user
-- and the number of its tier and route; and a list of the numbers of each place, or one of all, as many of each.

-- Adds numbers, those from one position to another of a list, to the sums that are listed under a number.
local function add_up(sums, number, numbers, first, last)
  local sum = sums[number] or {}
  sums[number] = sum
  for position = first, last do
    local at = position - first + 1
    sum[at] = (sum[at] or 0) + numbers[position]
  end
end

local function requests_in(numbers)
  local requests = 0
  for position = 1, math.min(#numbers, 5) do requests = requests + numbers[position] end
  return requests
end

-- Returns where the numbers of a place stand: in which list, from where to where; to make a list of them for each place
-- takes longer. Zeros at the end are left out of what is kept; where nothing was counted, they end before they begin.
local function numbers_of(counted, position)
  local numbers, first, last = counted.numbers, 1, nil
  if counted.width then
    first, last = (position - 1) * counted.width + 1, position * counted.width
  else
    numbers = numbers[position]
    last = #numbers
  end
  while last >= first and numbers[last] == 0 do last = last - 1 end
  return numbers, first, last
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
local function add_place(group, name, counted, position)
  local place = name .. ' ' .. counted.wheres[counted.places[position][3]]
  local index = group[place]
  if not index then
    index = #group.places + 1
    group[place], group.places[index], group.positions[index] = index, place, position
    return
  end
  if not group.sums[index] then add_up(group.sums, index, numbers_of(counted, group.positions[index])) end
  add_up(group.sums, index, numbers_of(counted, position))
end

-- Returns what was counted at a place of a group, as a list that is made once for all steps.
local function sum_of(group, index, counted)
  local sum = group.sums[index]
  if not sum then
    sum = {unpack(numbers_of(counted, group.positions[index]))}
    group.sums[index] = sum
  end
  return sum
end

-- Returns what all places have more than those of a group that are told apart. Where there are many keys hardly any of
-- them is, so that adding up all the others would take longer.
local function others_of(parts, group, apart, counted)
  local told, others = {}, {}
  for _, index in ipairs(apart) do
    local sum = sum_of(group, index, counted)
    add_up(told, counted.places[group.positions[index]][3], sum, 1, #sum)
  end
  for number, numbers in pairs(parts) do
    local left, taken, last = {}, told[number] or {}, 0
    for position, all in ipairs(numbers) do
      left[position] = all - (taken[position] or 0)
      if left[position] > 0 then last = position end
    end
    if last > 0 then others[number] = {unpack(left, 1, last)} end
  end
  return others
end

-- Adds what was counted at places of one kind, by places that the period tells apart, or has room to: it tells a
-- bounded number of them apart.
local function add_group(step, kind, group, counted)
  if #group.places == 0 then return end
  local places, told, scores, apart = step.places[kind], step.told[kind], {}, {}
  local known = call('ZMSCORE', places, unpack(group.places))
  for index, position in ipairs(group.positions) do
    local score, name, number = known[index], counted.places[position][group.named], counted.places[position][3]
    if score or told < step.most or name == step.other then
      local numbers = sum_of(group, index, counted)
      if not score then told = told + 1 end
      scores[#scores + 1] = (tonumber(score) or 0) + requests_in(numbers)
      scores[#scores + 1] = group.places[index]
      put(step.hashes[kind] .. name, step.at .. counted.wheres[number], step.kept, numbers)
      apart[#apart + 1] = index
    end
  end
  if #apart < #group.places then step.others[kind] = others_of(counted.parts, group, apart, counted) end
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

-- Reads counts: their tiers and routes, places, numbers, and these added up by tier and route. Returns them and the
-- places by kind.
local function read(text)
  local counted, groups = { parts = {} }, {}
  counted.wheres, counted.places, counted.numbers = unpack(decode(text))
  if type(counted.numbers[1]) ~= 'table' then counted.width = #counted.numbers / #counted.places end
  for named, kind in ipairs({ 'key', 'user' }) do
    groups[kind] = { named = named, places = {}, positions = {}, sums = {} }
  end
  for position, place in ipairs(counted.places) do
    local numbers, first, last = numbers_of(counted, position)
    -- A page has the places of the minute before it, and not all of them need have been counted at.
    if first <= last then
      for _, group in pairs(groups) do add_place(group, place[group.named], counted, position) end
      add_up(counted.parts, place[3], numbers, first, last)
    end
  end
  return counted, groups
end

-- Adds counts to the three steps that the arguments tell from the first on; behind them stands what stands for all
-- others.
local function add_counts(prefix, first, text)
  local counted, groups = read(text)
  local sums = {}
  for _, numbers in pairs(counted.parts) do add_up(sums, 1, numbers, 1, #numbers) end
  for number = 0, 2 do
    local step = step_of(prefix, first + 5 * number, ARGV[first + 15])
    for kind, group in pairs(groups) do add_group(step, kind, group, counted) end
    add_together(step, counted.wheres, counted.parts, sums[1])
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

