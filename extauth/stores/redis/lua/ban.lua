-- Bans a subject, and with it appends an audit entry; forgets bans that are over. Returns 1, or 0 where the ban that
-- the subject has doesn't yield.
-- KEYS: the bans; their ends; the revision; then as for append.lua: entries, times, last number, entries of the key.
-- ARGV: the subject; the ban; when it begins; when it ends; 1 if it takes the place of any other; the new revision;
-- then, where there is an entry, as for append.lua: the change; the entry's time; the entry.
local begins, ends = tonumber(ARGV[3]), tonumber(ARGV[4])
for _, over in ipairs(redis.call('ZRANGE', KEYS[2], '-inf', ARGV[3], 'BYSCORE', 'LIMIT', 0, 500)) do
  redis.call('HDEL', KEYS[1], over)
  redis.call('ZREM', KEYS[2], over)
end
local held = redis.call('HGET', KEYS[1], ARGV[1])
if held and ARGV[5] ~= '1' then
  held = cjson.decode(held)
  if begins < held.ends_us and (held.origin ~= 'automatic' or held.ends_us >= ends) then return 0 end
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[2], ends, ARGV[1])
redis.call('SET', KEYS[3], ARGV[6])
-- A day more than the last one lasts: clocks differ.
local last = redis.call('ZRANGE', KEYS[2], 0, 0, 'REV', 'WITHSCORES')[2]
local kept = string.format('%.0f', math.max(tonumber(last) - begins, 0) / 1000 + 86400000)
for number = 1, 3 do redis.call('PEXPIRE', KEYS[number], kept) end
if ARGV[7] then
  local entry = redis.call('INCR', KEYS[6])
  redis.call('XADD', KEYS[4], entry .. '-0', 'change', ARGV[7], 'entry', ARGV[9])
  redis.call('ZADD', KEYS[5], ARGV[8], entry)
  if KEYS[7] then redis.call('ZADD', KEYS[7], entry, ARGV[7]) end
end
return 1
