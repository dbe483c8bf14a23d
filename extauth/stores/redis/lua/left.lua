-- Returns changes that were left behind, the oldest first.
-- KEYS: the changes under way.
-- ARGV: how many milliseconds old one must be to have been left behind; how many to return at most.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
return redis.call('ZRANGE', KEYS[1], '-inf', now - ARGV[1], 'BYSCORE', 'LIMIT', 0, ARGV[2])
