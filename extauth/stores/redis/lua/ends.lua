-- Ends many leases at once, or what somebody waits for, and calls those whose turn has come.
--
-- `slots` stands before this text. ARGV[1] is text: a line that tells how many limits there are, then one for each that
-- ends, of three words with a blank between them:
--   the name of the lease, or of who waits
--   which of the limits it has slots of, with commas between them; empty where none
--   how the whole lease, as proxies report it, goes on behind its name; empty where it is not filed here
-- KEYS holds the beginning of each limit's keys, then the set of its request's leases for each that is filed.
--
-- The reply is text: for each that ends 1 where a slot was freed, else 0; then, behind a blank, how many leases of these
-- limits had ended by themselves.
local call, gmatch = redis.call, string.gmatch
local time = call('TIME')
local now_us = time[1] * 1000000 + time[2]
local packed = ARGV[1]
local limits = tonumber(string.match(packed, '^%d+'))
local waiting, expired, filed, said = {}, 0, limits, {}

for limit = 1, limits do
  local over
  waiting[limit], over = slots.expire(KEYS[limit], now_us)
  expired = expired + over
end

for name, places, rest in gmatch(packed, '(%S+) (%S*) (%S*)\n') do
  local freed = '0'
  for place in gmatch(places, '%d+') do
    local limit = tonumber(place)
    if slots.let_go(KEYS[limit], name, waiting[limit]) then freed = '1' end
  end
  if rest ~= '' then
    filed = filed + 1
    call('SREM', KEYS[filed], name .. rest)
  end
  said[#said + 1] = freed
end

for limit = 1, limits do
  if waiting[limit] > 0 then slots.call_next(KEYS[limit]) end
end

return table.concat(said) .. ' ' .. expired
