-- Returns what stands behind the words that begin with a text: up to so many, in the order of the words.
-- A word is a kind and a text, and behind a NUL the id of the key; see `layout.py`.
-- KEYS: the sorted set of all words, each with the score 0.
-- ARGV: the beginning; how many; 1 to return each text once without its kind, 0 to return the key ids.
local found = {}
local from = '[' .. ARGV[1]
-- No byte of UTF-8 is as high.
local to = '(' .. ARGV[1] .. '\255'
local limit = tonumber(ARGV[2])
if ARGV[3] == '0' then
  for _, word in ipairs(redis.call('ZRANGE', KEYS[1], from, to, 'BYLEX', 'LIMIT', 0, limit)) do
    found[#found + 1] = string.match(word, '%z([^%z]*)$')
  end
  return found
end
while #found < limit do
  local word = redis.call('ZRANGE', KEYS[1], from, to, 'BYLEX', 'LIMIT', 0, 1)[1]
  if not word then break end
  local text = string.match(word, '^([^%z]*)%z')
  found[#found + 1] = string.sub(text, 3)
  -- The next one behind all keys of this one.
  from = '(' .. text .. '\0\255'
end
return found
