-- What a process writes has numbers, so that what comes twice, or late, is taken once.
-- Returns 1 and remembers the number for so many seconds if it is larger than that of what the process wrote last, else
-- 0; and -1 where its journal was taken over, for which that number stands below zero.
local function is_new(written, number, seconds)
  local last = tonumber(redis.call('GET', written)) or 0
  if number <= math.abs(last) then return 0 end
  if last < 0 then return -1 end
  redis.call('SET', written, number, 'EX', seconds)
  return 1
end

