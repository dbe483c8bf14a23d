-- Adding up counts of usage: what the scripts behind it have in common.
local call, decode = redis.call, cjson.decode
-- From here on numbers in JSON are rounded: they are written as texts.
local roundest = 1e14
-- Under which tier and route the sum of all stands.
local together = '["",""]'

-- How numbers are written, of which small ones come again and again: to have them all written by cjson takes three
-- times as long.
local written = setmetatable({}, { __index = function(known, number)
  local text = string.format(number < roundest and '%.0f' or '"%.0f"', number)
  if number < 1000 then known[number] = text end
  return text
end })

-- Trailing zeros are left out of numbers.
local function sum(held, numbers)
  local sums = held and decode(held) or {}
  for position = 1, math.max(#sums, #numbers) do
    sums[position] = written[(sums[position] or 0) + (numbers[position] or 0)]
  end
  return '[' .. table.concat(sums, ',') .. ']'
end

-- Has a key end after so many seconds, unless it has an end already.
local function keep(key, seconds)
  if call('TTL', key) < 0 then call('EXPIRE', key, seconds) end
end

-- Adds numbers to a field of a hash, which is kept for so many seconds from when it began.
local function put(hash, field, kept, numbers)
  local held = call('HGET', hash, field)
  call('HSET', hash, field, sum(held, numbers))
  if not held then keep(hash, kept) end
end

-- Makes the sum of all of a period that a store has counted in since before there were sums.
local function begin_sum(hashes, kept)
  if call('EXISTS', hashes.sum) == 1 then return end
  local held = call('HGETALL', hashes.all)
  for first = 1, #held, 2 do
    local numbers = decode(held[first + 1])
    for position = 1, #numbers do numbers[position] = tonumber(numbers[position]) end
    put(hashes.sum, string.match(held[first], '^%d+') .. together, kept, numbers)
  end
end

