-- Adds a page of a journal, and drops it; nothing where it is not there any more.
-- KEYS: the number of what the process wrote last; what the names of all usage begin with, as its slot is one; the list
-- of journals; the journal.
-- ARGV: the number of this, 0 for whoever took the journal over; how many seconds that is remembered; the process; the
-- page; three steps and what stands for all others, see above.
local number, process, name = tonumber(ARGV[1]), ARGV[3], ARGV[4]
if number > 0 then
  if is_new(KEYS[1], number, ARGV[2]) < 1 then return 0 end
  see_alive(KEYS[3], process, number)
end
local page = call('HGET', KEYS[4], name)
if not page then return 0 end
add_counts(KEYS[2], 5, page)
drop_page(KEYS[3], KEYS[4], process, name)
return 1
