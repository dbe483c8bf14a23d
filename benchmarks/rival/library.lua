-- Asks Redis as lua-resty-redis does, which is what one takes for that in nginx.
local redis = require("resty.redis")

local IDLE_MS, POOL_SIZE, TIMEOUT_MS = 60000, 128, 1000

-- Returns what calls the script of this SHA-1 in the Redis at this port.
return function(host, port, script)
  local pool = {pool_size = POOL_SIZE}
  return function(record, state, month)
    local client = redis:new()
    client:set_timeout(TIMEOUT_MS)
    if not client:connect(host, port, pool) then return nil end
    local told = client:evalsha(script, 2, record, state, month)
    if told then client:set_keepalive(IDLE_MS, POOL_SIZE) end
    return told
  end
end
