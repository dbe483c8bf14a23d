-- Adds counts of one minute to their minute, hour and day, once, and keeps the latest refusals.
-- KEYS: the number of the last batch of the process; what the names of all usage begin with, as its slot is one.
-- ARGV: the batch's number; how many seconds that is remembered; how many refusals of a key are kept, for how many
-- seconds; for each step its name, its period, the place of the time within it, for how many seconds it is kept, and
-- how many places it tells apart; what stands for all others; how many counts follow; for each its kind, its name,
-- tier and route as a JSON list, its requests, its numbers; for each refusal its key, and itself as JSON.
local prefix = KEYS[2]
if (tonumber(redis.call('GET', KEYS[1])) or 0) >= tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])

-- Trailing zeros are left out of numbers; they are whole, and too large for Lua's own notation.
local function sum(held, numbers)
  local parts, more = {}, {}
  for number in string.gmatch(held, '%d+') do parts[#parts + 1] = tonumber(number) end
  for number in string.gmatch(numbers, '%d+') do more[#more + 1] = tonumber(number) end
  for position = 1, math.max(#parts, #more) do
    parts[position] = string.format('%.0f', (parts[position] or 0) + (more[position] or 0))
  end
  return table.concat(parts, ' ')
end

-- Returns under which name a period keeps what it is told of a place: it tells a bounded number apart.
local function name_in(step, kind, name, where, requests)
  if kind == 'all' then return name end
  local places = prefix .. step.name .. ':places:' .. kind .. ':' .. step.period
  local place = name .. ' ' .. where
  local known = redis.call('ZSCORE', places, place)
  if not known and redis.call('ZCARD', places) >= step.most then
    name, place = step.other, step.other .. ' ' .. where
  end
  redis.call('ZINCRBY', places, requests, place)
  if not known then redis.call('EXPIRE', places, step.kept) end
  return name
end

local function add(step, kind, name, where, requests, numbers)
  name = name_in(step, kind, name, where, requests)
  local hash, field = prefix .. step.name .. ':' .. kind .. ':' .. step.period .. ':' .. name, step.at .. where
  local held = redis.call('HGET', hash, field)
  if redis.call('HSET', hash, field, held and sum(held, numbers) or numbers) == 1 then
    redis.call('EXPIRE', hash, step.kept)
  end
end

local steps = {}
for first = 5, 15, 5 do
  steps[#steps + 1] = {
    name = ARGV[first], period = ARGV[first + 1], at = ARGV[first + 2], kept = ARGV[first + 3],
    most = tonumber(ARGV[first + 4]), other = ARGV[20],
  }
end
local last = 21 + 5 * tonumber(ARGV[21])
for first = 22, last, 5 do
  for _, step in ipairs(steps) do
    add(step, ARGV[first], ARGV[first + 1], ARGV[first + 2], ARGV[first + 3], ARGV[first + 4])
  end
end
for first = last + 1, #ARGV, 2 do
  local refusals = prefix .. 'refusals:' .. ARGV[first]
  redis.call('LPUSH', refusals, ARGV[first + 1])
  redis.call('LTRIM', refusals, 0, ARGV[3] - 1)
  redis.call('EXPIRE', refusals, ARGV[4])
end
return 1
