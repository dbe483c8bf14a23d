-- Removes a record if it has the version that is expected, and notes in the same step what follows from it.
-- Returns what came of it and, where it was done, all that is noted.
-- KEYS: the record; its outbox; the calls in its grace.
-- ARGV: the expected version; the note.
local version = redis.call('HGET', KEYS[1], 'version')
if not version then return {'missing'} end
if version ~= ARGV[1] then return {'changed'} end
redis.call('DEL', KEYS[1], KEYS[3])
redis.call('RPUSH', KEYS[2], ARGV[2])
return {'done', redis.call('LRANGE', KEYS[2], 0, 99)}
