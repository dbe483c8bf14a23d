-- Adds up what limits in shadow would have refused on a day, and keeps the number of its places within bounds.
-- KEYS: the day's counts.
-- ARGV: how many seconds they are kept; the two bounds; then for each count its place, what it is counted as beyond
-- the first bound, what beyond the second, and the number.
local held = redis.call('HLEN', KEYS[1])
for first = 4, #ARGV, 4 do
  local place
  for choice = 0, 2 do
    place = ARGV[first + choice]
    if redis.call('HEXISTS', KEYS[1], place) == 1 then break end
    if choice == 2 or held < tonumber(ARGV[2 + choice]) then
      held = held + 1
      break
    end
  end
  redis.call('HINCRBY', KEYS[1], place, ARGV[first + 3])
end
redis.call('EXPIRE', KEYS[1], ARGV[1])
return held
