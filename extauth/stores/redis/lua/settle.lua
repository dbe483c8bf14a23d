-- Strikes out what was done of the outbox, if the record is still the one that it was done for.
-- Returns 1 where nothing is left to do, else 0.
-- KEYS: the record; its outbox.
-- ARGV: the record's version, 0 for no record; the notes that were done.
if (redis.call('HGET', KEYS[1], 'version') or '0') ~= ARGV[1] then return 0 end
for number = 2, #ARGV do redis.call('LREM', KEYS[2], 1, ARGV[number]) end
return redis.call('LLEN', KEYS[2]) == 0 and 1 or 0
