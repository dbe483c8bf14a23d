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

-- Returns under which name a period keeps it: it tells a bounded number of places apart. One that is new beyond that
-- goes again, because most are not new.
local function kept_as(step, places, name, where, requests)
  local score = call('ZINCRBY', places, requests, name .. ' ' .. where)
  if tonumber(score) ~= requests then return name end
  local number = call('ZCARD', places)
  if number == 1 then call('EXPIRE', places, step.kept) end
  if number <= step.most or name == other then return name end
  call('ZREM', places, name .. ' ' .. where)
  call('ZINCRBY', places, requests, other .. ' ' .. where)
  return other
end

local function add_up(sums, numbers)
  for position = 1, #numbers do sums[position] = (sums[position] or 0) + numbers[position] end
end

local steps = {}
for first = 5, 15, 5 do
  local step = { at = ARGV[first + 2], kept = ARGV[first + 3], most = tonumber(ARGV[first + 4]), places = {}, hashes = {} }
  for _, kind in ipairs({ 'all', 'sum', 'key', 'user' }) do
    step.hashes[kind] = prefix .. ARGV[first] .. ':' .. kind .. ':' .. ARGV[first + 1] .. ':'
    step.places[kind] = prefix .. ARGV[first] .. ':places:' .. kind .. ':' .. ARGV[first + 1]
  end
  begin_sum(step.hashes, step.kept)
  steps[#steps + 1] = step
end
local wheres, places = unpack(decode(ARGV[21]))
local all, parts = {}, {}
for _, place in ipairs(places) do
  local names, number, numbers = { key = place[1], user = place[2] }, place[3], place[4]
  local where, requests = wheres[number], 0
  for position = 1, math.min(#numbers, 5) do requests = requests + numbers[position] end
  for _, step in ipairs(steps) do
    for kind, name in pairs(names) do
      local hash = step.hashes[kind] .. kept_as(step, step.places[kind], name, where, requests)
      put(hash, step.at .. where, step.kept, numbers)
    end
  end
  parts[number] = parts[number] or {}
  add_up(parts[number], numbers)
  add_up(all, numbers)
end
for _, step in ipairs(steps) do
  for number, numbers in ipairs(parts) do put(step.hashes.all, step.at .. wheres[number], step.kept, numbers) end
  if #all > 0 then put(step.hashes.sum, step.at .. together, step.kept, all) end
end
for first = 22, #ARGV, 2 do
  local refusals = prefix .. 'refusals:' .. ARGV[first]
  call('LPUSH', refusals, ARGV[first + 1])
  call('LTRIM', refusals, 0, ARGV[3] - 1)
  call('EXPIRE', refusals, ARGV[4])
end
return 1
