-- The cool-down; `cool_down.py` says what the numbers are. Each of them is below 2^53, where Lua's numbers are exact.
local cool_down = {}

local floor, max, min = math.floor, math.max, math.min

local LEVEL = 4294967296

-- The state's four numbers (all 0 where there is none), the limit's five, the time; returns whether it is allowed,
-- and the state's four.
function cool_down.step(a, b, c, d, _, _, _, longest_us, _, now_us)
  if now_us >= c then return true, a, b, c, d end
  if c > now_us + longest_us then
    c = now_us + longest_us
    return false, a, b, c, c + longest_us
  end
  return false, a, b, c, d
end

-- Returns the state's four.
function cool_down.violate(a, b, c, d, violations, window_us, pause_us, longest_us, count, now_us)
  local allowed
  allowed, a, b, c, d = cool_down.step(a, b, c, d, violations, window_us, pause_us, longest_us, count, now_us)
  if not allowed then return a, b, c, d end
  local level = floor(a / LEVEL)
  local counted = a - level * LEVEL
  if now_us >= c + longest_us then level, c = 0, 0 end
  if now_us >= b then counted, b = 0, now_us + window_us end
  b = min(b, now_us + window_us)
  counted = counted + count
  if counted < violations then
    return counted + level * LEVEL, b, c, max(b, level > 0 and c + longest_us or 0)
  end
  local wait_us = pause_us * 2 ^ level
  if wait_us < longest_us then level = level + 1 else wait_us = longest_us end
  c = now_us + wait_us
  return max(level, 1) * LEVEL, 0, c, c + longest_us
end

function cool_down.give_back(a, b, c, d)
  return a, b, c, d
end

return cool_down
