-- Replaces a record if it has the version that is expected, and notes in the same step what follows from it.
-- Returns what came of it and, where it was done, all that is noted.
-- KEYS: the record; its outbox.
-- ARGV: the expected version, 0 for no record; the note; names and values of the fields.
local version = redis.call('HGET', KEYS[1], 'version')
if ARGV[1] == '0' then
  if version then return {'taken'} end
elseif not version then
  return {'missing'}
elseif version ~= ARGV[1] then
  return {'changed'}
end
-- When the key was used may have moved on since the record was read: it stays.
local used = redis.call('HGET', KEYS[1], 'last_used')
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], unpack(ARGV, 3))
if used then redis.call('HSET', KEYS[1], 'last_used', used) end
redis.call('RPUSH', KEYS[2], ARGV[2])
return {'done', redis.call('LRANGE', KEYS[2], 0, 99)}
