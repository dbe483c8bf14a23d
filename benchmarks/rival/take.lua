-- Takes one of two token buckets and of a quota, all or none.
--
-- KEYS: the key's record, and the state of its limits. ARGV: the month by which the quota counts.
-- The record: what each bucket holds and how much comes back each second, the quota, then whose key it is.
-- The state: what each bucket held, when that was in seconds, how much of the quota is used, and its month.
local record = redis.call('GET', KEYS[1])
if not record then return redis.status_reply('unknown') end
local full1, rate1, full2, rate2, quota, place = struct.unpack('>ddddd', record)
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local left1, left2, used = full1, full2, 0

local state = redis.call('GET', KEYS[2])
if state then
  local before, month
  left1, left2, before, used, month = struct.unpack('>ddddc7', state)
  local passed = math.max(now - before, 0)
  left1 = math.min(left1 + passed * rate1, full1)
  left2 = math.min(left2 + passed * rate2, full2)
  if month ~= ARGV[1] then used = 0 end
end

local allowed = 0
if left1 >= 1 and left2 >= 1 and used < quota then
  allowed, left1, left2, used = 1, left1 - 1, left2 - 1, used + 1
  redis.call('SET', KEYS[2], struct.pack('>ddddc7', left1, left2, now, used, ARGV[1]), 'EX', 2678400)
end
return redis.status_reply(
  string.format('%d %s %d %d %d', allowed, string.sub(record, place), left1, left2, quota - used))
