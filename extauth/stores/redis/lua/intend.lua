-- Puts a change among those under way, and returns some that others left behind.
-- KEYS: the changes under way.
-- ARGV: the change; how many milliseconds old one must be to have been left behind.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], now, ARGV[1])
return redis.call('ZRANGE', KEYS[1], '-inf', now - ARGV[2], 'BYSCORE', 'LIMIT', 0, 4)
