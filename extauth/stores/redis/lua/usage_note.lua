-- Keeps pages in a process's journal, each in place of what it was.
-- KEYS: the number of what the process wrote last; the list of journals, a hash of such numbers by process; the journal.
-- ARGV: the number of this; how many seconds that is remembered; for how many the journal is kept; the process; for
-- each page its name and itself.
-- Returns 1 or, where nothing was kept, 0 for what came too late, and -1 where the journal was taken over.
local number = tonumber(ARGV[1])
local found = is_new(KEYS[1], number, ARGV[2])
if found < 1 then return found end
redis.call('HSET', KEYS[2], ARGV[4], number)
redis.call('EXPIRE', KEYS[2], ARGV[3])
redis.call('HSET', KEYS[3], unpack(ARGV, 5))
redis.call('EXPIRE', KEYS[3], ARGV[3])
return 1
