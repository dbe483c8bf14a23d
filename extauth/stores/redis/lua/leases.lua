-- Does small things about leases, many at once: renews them, files them under their request, finds and counts them.
--
-- `slots` stands before this text. ARGV holds for each errand
--   what to do: `renew`, `file`, `find` or `count`
--   the name of the lease
--   the whole lease as proxies report it, empty where it is not filed here
--   how many milliseconds from now the lease ends by itself; for `find` how many an end is remembered, 0 where it only
--     looks
--   how many limits it has slots of
-- KEYS holds for each of them the beginning of the limits' keys, then, where the whole lease is given, the set of the
-- request's leases. `find` has that set alone.
--
-- The reply is text, a line for each errand: for `count` how many are held; for `find` the leases, separated by spaces; for
-- `file` `ended` if the request's end was reported before. The last line says how many leases of these limits had ended by
-- themselves.
--
-- A client may leave so early that the end of its request is reported before the check has taken a slot. So where `find`
-- finds nothing for an end it notes that for a while, and who comes then gets no slot.
local call = redis.call
local time = call('TIME')
local now_us = time[1] * 1000000 + time[2]
local said, key, expired = {}, 1, 0
local ENDED = '!'

for at = 1, #ARGV, 5 do
  local what, name, lease = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local last_ms, count = tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4])
  local held, words = 0, ''
  for place = key, key + count - 1 do
    local base = KEYS[place]
    local _, over = slots.expire(base, now_us)
    expired = expired + over
    if what == 'renew' then
      slots.renew(base, name, now_us + last_ms * 1000)
    elseif what == 'count' then
      held = held + call('ZCARD', base .. ':leases')
      words = held
    end
  end
  key = key + count
  if what == 'find' then
    local found = call('SMEMBERS', KEYS[key])
    if #found == 0 and last_ms > 0 then
      call('SADD', KEYS[key], ENDED)
      call('PEXPIRE', KEYS[key], last_ms)
    end
    words = table.concat(found, ' ')
    key = key + 1
  elseif lease ~= '' then
    if what == 'file' and call('SISMEMBER', KEYS[key], ENDED) == 1 then
      words = 'ended'
    else
      if what == 'file' then call('SADD', KEYS[key], lease) end
      -- A lease of the same request may last longer.
      call('PEXPIRE', KEYS[key], math.max(last_ms, call('PTTL', KEYS[key])))
    end
    key = key + 1
  end
  said[#said + 1] = words
end

said[#said + 1] = expired
return table.concat(said, '\n')
