-- Notes that a key was used, only ever forwards, and adds up the calls in its grace. Returns 1, or 0 for no record.
-- KEYS: the record; the calls in its grace.
-- ARGV: last_used; how many addresses are told apart; what all others are counted under; addresses and calls.
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
local used = redis.call('HGET', KEYS[1], 'last_used')
if not used or tonumber(used) < tonumber(ARGV[1]) then redis.call('HSET', KEYS[1], 'last_used', ARGV[1]) end
local held = redis.call('HLEN', KEYS[2]) - redis.call('HEXISTS', KEYS[2], ARGV[3])
for number = 4, #ARGV, 2 do
  local address = ARGV[number]
  if address ~= ARGV[3] and redis.call('HEXISTS', KEYS[2], address) == 0 then
    if held < tonumber(ARGV[2]) then held = held + 1 else address = ARGV[3] end
  end
  redis.call('HINCRBY', KEYS[2], address, ARGV[number + 1])
end
return 1
