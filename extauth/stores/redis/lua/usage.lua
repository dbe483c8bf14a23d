-- Adds counts of one minute to their minute, hour and day, once, and keeps the latest refusals.
-- KEYS: the number of the last batch of the process; what the names of all usage begin with, as its slot is one.
-- ARGV: the batch's number; how many seconds that is remembered; how many refusals of a key are kept, for how many
-- seconds; for each step its name, its period, the place of the time within it, for how many seconds it is kept, and
-- how many places it tells apart; what stands for all others; how many places follow; for each its key, its user, its
-- tier and route as a JSON list, its requests, its numbers as one; how many counts of all together follow; for each tier
-- and route, and numbers; for each refusal its key, and itself as JSON.
local call, encode, decode = redis.call, cjson.encode, cjson.decode
local prefix, other = KEYS[2], ARGV[20]
-- From here on numbers in JSON are rounded: they are written as texts.
local roundest = 1e14
if (tonumber(call('GET', KEYS[1])) or 0) >= tonumber(ARGV[1]) then return 0 end
call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])

-- Trailing zeros are left out of numbers.
local function sum(held, numbers)
  local sums = decode(held)
  for position = 1, #numbers do
    local number = (tonumber(sums[position]) or 0) + numbers[position]
    sums[position] = number < roundest and number or string.format('%.0f', number)
  end
  return encode(sums)
end

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

local function add(step, kind, name, where, requests, numbers, text)
  if kind ~= 'all' then name = kept_as(step, step.places[kind], name, where, requests) end
  local hash, field = step.hashes[kind] .. name, step.at .. where
  local held = call('HGET', hash, field)
  if not held then
    call('HSET', hash, field, text)
    call('EXPIRE', hash, step.kept)
  else
    call('HSET', hash, field, sum(held, numbers))
  end
end

local steps = {}
for first = 5, 15, 5 do
  local step = { at = ARGV[first + 2], kept = ARGV[first + 3], most = tonumber(ARGV[first + 4]), places = {}, hashes = {} }
  for _, kind in ipairs({ 'all', 'key', 'user' }) do
    step.hashes[kind] = prefix .. ARGV[first] .. ':' .. kind .. ':' .. ARGV[first + 1] .. ':'
    step.places[kind] = prefix .. ARGV[first] .. ':places:' .. kind .. ':' .. ARGV[first + 1]
  end
  steps[#steps + 1] = step
end
local last = 21 + 5 * tonumber(ARGV[21])
for first = 22, last, 5 do
  local where, requests, text = ARGV[first + 2], tonumber(ARGV[first + 3]), ARGV[first + 4]
  local numbers = decode(text)
  for _, step in ipairs(steps) do
    add(step, 'key', ARGV[first], where, requests, numbers, text)
    add(step, 'user', ARGV[first + 1], where, requests, numbers, text)
  end
end
local together = last + 2
last = last + 1 + 2 * tonumber(ARGV[last + 1])
for first = together, last, 2 do
  local numbers = decode(ARGV[first + 1])
  for _, step in ipairs(steps) do add(step, 'all', '', ARGV[first], 0, numbers, ARGV[first + 1]) end
end
for first = last + 1, #ARGV, 2 do
  local refusals = prefix .. 'refusals:' .. ARGV[first]
  call('LPUSH', refusals, ARGV[first + 1])
  call('LTRIM', refusals, 0, ARGV[3] - 1)
  call('EXPIRE', refusals, ARGV[4])
end
return 1
