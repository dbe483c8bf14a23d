-- Strikes out what was done of the outbox, if the record still belongs where the indexes list it now.
-- Returns 1 where nothing is left to do, else 0.
-- KEYS: the record; its outbox.
-- ARGV: what decides where it is listed, in the order below, each empty where there is none; the notes that were
-- done.
local decisive = redis.call('HMGET', KEYS[1], 'user_id', 'tier', 'pepper_id', 'name', 'created_at', 'expires_at', 'revoked_at')
for number = 1, 7 do
  if (decisive[number] or '') ~= ARGV[number] then return 0 end
end
for number = 8, #ARGV do redis.call('LREM', KEYS[2], 1, ARGV[number]) end
return redis.call('LLEN', KEYS[2]) == 0 and 1 or 0
