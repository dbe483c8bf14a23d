-- Returns the revision of the bans, and all of them in one text, a line each; false where the revision is known.
-- KEYS: the bans; the revision.
-- ARGV: the revision that is known.
local revision = redis.call('GET', KEYS[2]) or 'none'
if revision == ARGV[1] then return false end
return {revision, table.concat(redis.call('HVALS', KEYS[1]), '\n')}
