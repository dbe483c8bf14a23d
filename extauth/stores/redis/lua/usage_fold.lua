-- Adds a page of a journal that was taken over, and drops it; nothing where it is not there any more.
-- KEYS: the list of journals; what the names of all usage begin with, as its slot is one; the journal.
-- ARGV: the process; the page; three steps and what stands for all others, see above.
local page = call('HGET', KEYS[3], ARGV[2])
if not page then return 0 end
add_counts(KEYS[2], 3, page)
drop_page(KEYS[1], KEYS[3], ARGV[1], ARGV[2])
return 1
