-- Takes a name that nobody has, or whose claim is stale, and returns whose it is now.
-- KEYS: the claim.
-- ARGV: what is older than this is stale; how many milliseconds a claim is kept; fingerprint; key id; time.
local held = redis.call('HMGET', KEYS[1], 'fingerprint', 'key_id', 'at')
if held[3] and tonumber(held[3]) >= tonumber(ARGV[1]) then return held end
redis.call('HSET', KEYS[1], 'fingerprint', ARGV[3], 'key_id', ARGV[4], 'at', ARGV[5])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return {ARGV[3], ARGV[4], ARGV[5]}
