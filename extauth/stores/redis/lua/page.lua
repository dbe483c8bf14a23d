-- Returns members of an index with their scores, flat, in the order of score and member, behind a place.
-- KEYS: the index.
-- ARGV: score and member of the place, both empty for the beginning; how many to return at most.

-- Lua compares text by the server's locale, Redis orders members by their bytes.
local function is_behind(one, other)
  for at = 1, math.min(#one, #other) do
    local left, right = string.byte(one, at), string.byte(other, at)
    if left ~= right then return left > right end
  end
  return #one > #other
end

local first = 0
if ARGV[1] ~= '' then
  local score = redis.call('ZSCORE', KEYS[1], ARGV[2])
  if score and tonumber(score) == tonumber(ARGV[1]) then
    first = redis.call('ZRANK', KEYS[1], ARGV[2]) + 1
  else
    -- The member is gone. Any number of members may have its score, so its place is searched by halves.
    local low = redis.call('ZCOUNT', KEYS[1], '-inf', '(' .. ARGV[1])
    local high = low + redis.call('ZCOUNT', KEYS[1], ARGV[1], ARGV[1])
    while low < high do
      local middle = math.floor((low + high) / 2)
      if is_behind(redis.call('ZRANGE', KEYS[1], middle, middle)[1], ARGV[2]) then
        high = middle
      else
        low = middle + 1
      end
    end
    first = low
  end
end
return redis.call('ZRANGE', KEYS[1], first, first + ARGV[3] - 1, 'WITHSCORES')
