-- Returns a record, flat, and what is noted beside it, both of the same moment.
-- KEYS: the record; its outbox.
return {redis.call('HGETALL', KEYS[1]), redis.call('LRANGE', KEYS[2], 0, 99)}
