-- Notes that keys were used, only ever forwards; those without a record are passed over.
-- KEYS: the records. ARGV: last_used.
local at_us = tonumber(ARGV[1])
for _, record in ipairs(KEYS) do
  local used = redis.call('HGET', record, 'last_used')
  if used and tonumber(used) < at_us or not used and redis.call('EXISTS', record) == 1 then
    redis.call('HSET', record, 'last_used', ARGV[1])
  end
end
return 1
