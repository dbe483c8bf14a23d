-- The token bucket; `token_bucket.py` says what the numbers are. Each of them is below 2^53, where Lua's numbers
-- are exact.
local token_bucket = {}

local ceil = math.ceil

local function owed_now(owed_us, part, full_before_us, clear_at_us, full_us, rate, now_us)
  local left_us = clear_at_us - now_us
  if part > 0 then left_us = left_us - 1 end
  if left_us < owed_us then
    if left_us < 0 then
      owed_us, part = 0, 0
    else
      owed_us = left_us
    end
  end
  if full_before_us ~= full_us or part >= rate then
    -- The same fill level of another bucket, rounded up.
    if part > 0 then owed_us = owed_us + 1 end
    if full_before_us ~= full_us then
      if full_before_us < 1 then full_before_us = 1 end
      owed_us = ceil(owed_us * full_us / full_before_us)
    end
    if owed_us > full_us then owed_us = full_us end
    part = 0
  end
  return owed_us, part
end

local function state_of(owed_us, part, full_us, now_us)
  if part > 0 then return owed_us, part, full_us, now_us + owed_us + 1 end
  return owed_us, part, full_us, now_us + owed_us
end

-- The state's four numbers (all 0 where there is none), the limit's five, the time; returns whether it is allowed,
-- and the state's four.
function token_bucket.step(a, b, c, d, full_us, full_part, rate, cost_us, cost_part, now_us)
  local owed_us, part = 0, 0
  if d > 0 then owed_us, part = owed_now(a, b, c, d, full_us, rate, now_us) end
  local taken_us, taken_part = owed_us + cost_us, part + cost_part
  if taken_part >= rate then
    taken_part = taken_part - rate
    taken_us = taken_us + 1
  end
  if taken_us < full_us or (taken_us == full_us and taken_part <= full_part) or (cost_us == 0 and cost_part == 0) then
    return true, state_of(taken_us, taken_part, full_us, now_us)
  end
  return false, state_of(owed_us, part, full_us, now_us)
end

function token_bucket.give_back(a, b, c, d, full_us, full_part, rate, cost_us, cost_part, now_us)
  local owed_us, part = 0, 0
  if d > 0 then owed_us, part = owed_now(a, b, c, d, full_us, rate, now_us) end
  part = part - cost_part
  owed_us = owed_us - cost_us
  if part < 0 then
    part = part + rate
    owed_us = owed_us - 1
  end
  if owed_us < 0 then owed_us, part = 0, 0 end
  return state_of(owed_us, part, full_us, now_us)
end

return token_bucket
