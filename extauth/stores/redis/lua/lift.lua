-- Ends a subject's ban, and with it appends an audit entry. Returns 1, or 0 where there is none.
-- KEYS: the bans; their ends; the revision; then as for append.lua: entries, times, last number, entries of the key.
-- ARGV: the subject; the new revision; then as for append.lua: the change; the entry's time; the entry.
if redis.call('HDEL', KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('SET', KEYS[3], ARGV[2], 'PX', 86400000)
local entry = redis.call('INCR', KEYS[6])
redis.call('XADD', KEYS[4], entry .. '-0', 'change', ARGV[3], 'entry', ARGV[5])
redis.call('ZADD', KEYS[5], ARGV[4], entry)
if KEYS[7] then redis.call('ZADD', KEYS[7], entry, ARGV[3]) end
return 1
