-- Strings in which other limits stand than a check has, or in another order: since tiers were changed, say, or where
-- checks of other routes take of the same subject. `take.lua` calls this with its `count_of` and `now_us`.
local pack, unpack_from, concat = struct.pack, struct.unpack, table.concat
local sub, byte = string.sub, string.byte
local STATE, STATE_SIZE = '>I8I8I8I8', 32
local NOTHING = pack(STATE, 0, 0, 0, 0)

-- Puts the states of a string with other names, or in another order, in the order asked for; returns the others.
local function in_order(value, names)
  local states, known, at = {}, {}, 3
  for place = 1, count_of(value) do
    local length = byte(value, at)
    known[place] = sub(value, at, at + length)
    at = at + length + 1
  end
  for _, name in ipairs(known) do
    states[name] = sub(value, at, at + STATE_SIZE - 1)
    at = at + STATE_SIZE
  end
  local ordered = {}
  at = 3
  for place = 1, count_of(names) do
    local length = byte(names, at)
    local name = sub(names, at, at + length)
    ordered[place] = states[name] or NOTHING
    states[name] = nil
    at = at + length + 1
  end
  return concat(ordered), states
end

-- Returns the names and states of the limits together with what else is stored and not clear yet, and when all is.
local function with_others(names, body, clear_at_us, remaining)
  local count, known, states = count_of(names), {sub(names, 3)}, {body}
  for name, state in pairs(remaining) do
    local _, _, _, clear = unpack_from(STATE, state)
    if clear > now_us then
      count = count + 1
      known[#known + 1], states[#states + 1] = name, state
      if clear > clear_at_us then clear_at_us = clear end
    end
  end
  return pack('>I2', count) .. concat(known), concat(states), clear_at_us
end

return in_order, with_others
