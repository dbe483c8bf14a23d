-- Gives a claimed name back, unless somebody else has it by now. Returns 1, or 0 where nothing was done.
-- KEYS: the claim.
-- ARGV: the key id of whoever gives it back.
if redis.call('HGET', KEYS[1], 'key_id') ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
