-- Gives a user one more key, unless they have as many as they may. Returns 1, or 0 where nothing was done.
-- KEYS: all keys of the user; those that are not revoked.
-- ARGV: key id; created_at; how many the user may have, empty for any number.
if ARGV[3] ~= '' and redis.call('SCARD', KEYS[2]) >= tonumber(ARGV[3])
  and redis.call('SISMEMBER', KEYS[2], ARGV[1]) == 0 then
  return 0
end
redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
redis.call('SADD', KEYS[2], ARGV[1])
return 1
