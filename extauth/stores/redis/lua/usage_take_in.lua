-- Adds counts of another store to one period; returns how many of them.
-- KEYS: what the names of all usage begin with, as its slot is one.
-- ARGV: the step's name; whose usage it is; the period; for how many seconds it is kept; how many places it tells
-- apart; what stands for all others; the counts, as a JSON list of a name, a tier and route as JSON, the place of the
-- time within the period, and numbers.
local step, kind, period, kept, most, other = unpack(ARGV, 1, 6)
local hashes = {}
for _, each in ipairs({ 'all', 'sum', 'key', 'user' }) do
  hashes[each] = KEYS[1] .. step .. ':' .. each .. ':' .. period .. ':'
end
local places = KEYS[1] .. step .. ':places:' .. kind .. ':' .. period
if kind == 'all' then begin_sum(hashes, kept) end

-- Whether the period tells a place apart, or has room to do so.
local function is_told_apart(place, name)
  if call('ZSCORE', places, place) or name == other then return true end
  return call('ZCARD', places) < tonumber(most)
end

local taken = 0
for _, cell in ipairs(decode(ARGV[7])) do
  local name, where, at, numbers = unpack(cell)
  if kind == 'all' then
    put(hashes.all, at .. where, kept, numbers)
    put(hashes.sum, at .. together, kept, numbers)
    taken = taken + 1
  elseif is_told_apart(name .. ' ' .. where, name) then
    local requests = 0
    for position = 1, math.min(#numbers, 5) do requests = requests + numbers[position] end
    call('ZINCRBY', places, requests, name .. ' ' .. where)
    keep(places, kept)
    put(hashes[kind] .. name, at .. where, kept, numbers)
    taken = taken + 1
  end
end
return taken
