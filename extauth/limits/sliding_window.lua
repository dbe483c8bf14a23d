-- The sliding window counter; `sliding_window.py` says what the numbers are. Each of them, and each product, is
-- below 2^53: there floor and ceil of a quotient are exact, however the quotient itself is rounded.
local sliding_window = {}

local floor, ceil, max = math.floor, math.ceil, math.max

local SLICES = 1000000

local function sliced(window_us)
  local slice_us = max(1, floor(window_us / SLICES))
  return slice_us, ceil(window_us / slice_us)
end

-- What counts of the previous window when so much of the current one has passed; before its begin none has.
local function weighed(previous, passed_us, slice_us, slices)
  if previous == 0 then return 0 end
  return ceil(previous * (slices - floor(max(passed_us, 0) / slice_us)) / slices)
end

local function state_of(current, previous, start_us, window_us)
  if current > 0 then return current, previous, start_us, start_us + 2 * window_us end
  if previous > 0 then return 0, previous, start_us, start_us + window_us end
  return 0, 0, start_us, start_us
end

local function counted(current, previous, passed_us, window_us)
  passed_us = max(passed_us, 0)
  if passed_us >= window_us then
    current, previous = 0, current
    passed_us = passed_us - window_us
  end
  if passed_us >= window_us then return 0 end
  local slice_us, slices = sliced(window_us)
  return current + weighed(previous, passed_us, slice_us, slices)
end

-- Current and previous count and the begin of their window, as of now.
local function at(current, previous, start_before_us, clear_at_us, window_us, now_us)
  local start_us = now_us - now_us % window_us
  -- The end of the state tells how long its windows were.
  local window_before_us = clear_at_us - start_before_us
  if current > 0 then window_before_us = floor(window_before_us / 2) end
  if window_before_us ~= window_us or start_before_us > start_us + window_us then
    return counted(current, previous, now_us - start_before_us, window_before_us), 0, start_us
  end
  if start_before_us >= start_us then return current, previous, start_before_us end
  if start_before_us + window_us == start_us then return 0, current, start_us end
  return 0, 0, start_us
end

-- The state's four numbers (all 0 where there is none), the limit's five, the time; returns whether it is allowed,
-- and the state's four.
function sliding_window.step(a, b, c, d, capacity, cost, window_us, slice_us, slices, now_us)
  local current, previous, start_us = at(a, b, c, d, window_us, now_us)
  if cost == 0 then return true, state_of(current, previous, start_us, window_us) end
  if current + cost + weighed(previous, now_us - start_us, slice_us, slices) <= capacity then
    return true, state_of(current + cost, previous, start_us, window_us)
  end
  return false, state_of(current, previous, start_us, window_us)
end

function sliding_window.give_back(a, b, c, d, capacity, cost, window_us, slice_us, slices, now_us)
  local current, previous, start_us = at(a, b, c, d, window_us, now_us)
  current = current - cost
  if current < 0 then
    previous = max(previous + current, 0)
    current = 0
  end
  return state_of(current, previous, start_us, window_us)
end

return sliding_window
