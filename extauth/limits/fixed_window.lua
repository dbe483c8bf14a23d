-- The fixed window; `fixed_window.py` says what the numbers are. Each of them is below 2^53: there the floor of a
-- quotient is exact, however the quotient itself is rounded.
local fixed_window = {}

local floor, max = math.floor, math.max

local DAY_US = 86400000000

-- The first day of a day's month, counted in years that begin in March.
local function first_of_month(day)
  local day_of_era = (day + 719468) % 146097
  local year = floor(
    (day_of_era - floor(day_of_era / 1460) + floor(day_of_era / 36524) - floor(day_of_era / 146096)) / 365)
  local day_of_year = day_of_era - (365 * year + floor(year / 4) - floor(year / 100))
  local month = floor((5 * day_of_year + 2) / 153)
  return day - day_of_year + floor((153 * month + 2) / 5)
end

-- The month that was asked for last: all checks of one call are in the same.
local known_day, month_start_us, month_end_us

-- Begin and end of the window that a time is in; a period of 0 is a month.
local function window(period_us, first_us, time_us)
  if period_us > 0 then
    local start_us = time_us - (time_us - first_us) % period_us
    return start_us, start_us + period_us
  end
  local day = floor(time_us / DAY_US)
  if day ~= known_day then
    local first = first_of_month(day)
    known_day, month_start_us, month_end_us = day, first * DAY_US, first_of_month(first + 31) * DAY_US
  end
  return month_start_us, month_end_us
end

-- What is used, and begin and end of its window, as of now.
local function at(used, start_before_us, end_before_us, period_us, first_us, now_us)
  local start_us, end_us = window(period_us, first_us, now_us)
  if end_before_us == 0 then return 0, start_us, end_us end
  if start_before_us == end_us then
    -- The window after this one: the clock jumped back.
    local _, end_after_us = window(period_us, first_us, start_before_us)
    if end_after_us == end_before_us then return used, start_before_us, end_before_us end
  end
  if start_before_us < start_us or (start_before_us < end_us and end_us < end_before_us) then
    return 0, start_us, end_us
  end
  return used, start_us, end_us
end

-- The state's four numbers (all 0 where there is none), the limit's five, the time; returns whether it is allowed,
-- and the state's four.
function fixed_window.step(a, b, _, d, capacity, cost, period_us, first_us, _, now_us)
  local used, start_us, end_us = at(a, b, d, period_us, first_us, now_us)
  if used + cost <= capacity or cost == 0 then return true, used + cost, start_us, 0, end_us end
  return false, used, start_us, 0, end_us
end

function fixed_window.give_back(a, b, _, d, _, cost, period_us, first_us, _, now_us)
  local used, start_us, end_us = at(a, b, d, period_us, first_us, now_us)
  return max(used - cost, 0), start_us, 0, end_us
end

return fixed_window
