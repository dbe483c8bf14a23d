-- Adds up the calls of a key in its grace. Returns 1, or 0 for no record.
-- KEYS: the record; the calls in its grace.
-- ARGV: how many addresses are told apart; what all others are counted under; addresses and calls.
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
local held = redis.call('HLEN', KEYS[2]) - redis.call('HEXISTS', KEYS[2], ARGV[2])
for number = 3, #ARGV, 2 do
  local address = ARGV[number]
  if address ~= ARGV[2] and redis.call('HEXISTS', KEYS[2], address) == 0 then
    if held < tonumber(ARGV[1]) then held = held + 1 else address = ARGV[2] end
  end
  redis.call('HINCRBY', KEYS[2], address, ARGV[number + 1])
end
return 1
