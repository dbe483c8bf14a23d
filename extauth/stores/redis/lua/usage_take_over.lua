-- Takes a process's journal over, if it wrote nothing since a number: from then on nothing more is taken of it.
-- KEYS: the number of what the process wrote last; the list of journals; the journal.
-- ARGV: the process; the number; how many seconds it is remembered that it was taken over.
-- Returns the names of the pages that are left.
local process, number = ARGV[1], tonumber(ARGV[2])
if tonumber(redis.call('HGET', KEYS[2], process)) ~= number then return {} end
redis.call('SET', KEYS[1], -number, 'EX', ARGV[3])
local pages = redis.call('HKEYS', KEYS[3])
if #pages == 0 then redis.call('HDEL', KEYS[2], process) end
return pages
