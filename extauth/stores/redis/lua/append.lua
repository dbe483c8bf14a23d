-- Appends an entry to the audit log, once: where the key has one of the same change, it is not appended again.
-- KEYS: the entries; their times; the last entry's number; the entries of the key, left out where there is none.
-- ARGV: the change; the entry's time; the entry.
if KEYS[4] and redis.call('ZSCORE', KEYS[4], ARGV[1]) then return 0 end
local number = redis.call('INCR', KEYS[3])
redis.call('XADD', KEYS[1], number .. '-0', 'change', ARGV[1], 'entry', ARGV[3])
redis.call('ZADD', KEYS[2], ARGV[2], number)
if KEYS[4] then redis.call('ZADD', KEYS[4], number, ARGV[1]) end
return number
