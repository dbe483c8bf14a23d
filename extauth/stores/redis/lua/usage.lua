-- Adds counts of one minute to their minute, hour and day, once, and keeps the latest refusals.
-- KEYS: the number of what the process wrote last; what the names of all usage begin with, as its slot is one; the
-- list of journals; the process's journal.
-- ARGV: the batch's number; how many seconds that is remembered; how many refusals of a key are kept, for how many
-- seconds; the process; the page of its journal whose place the batch takes, or nothing; three steps and what stands
-- for all others, see above; the counts; for each refusal its key, and itself as JSON.
-- Returns 1 or, where nothing was added, 0 for a batch that came before, and -1 where the journal was taken over.
local number, process, page = tonumber(ARGV[1]), ARGV[5], ARGV[6]
local found = is_new(KEYS[1], number, ARGV[2])
if found < 1 then return found end
add_counts(KEYS[2], 7, ARGV[23])
if page ~= '' then drop_page(KEYS[3], KEYS[4], process, page) end
see_alive(KEYS[3], process, number)
for first = 24, #ARGV, 2 do
  local refusals = KEYS[2] .. 'refusals:' .. ARGV[first]
  call('LPUSH', refusals, ARGV[first + 1])
  call('LTRIM', refusals, 0, ARGV[3] - 1)
  call('EXPIRE', refusals, ARGV[4])
end
return 1
