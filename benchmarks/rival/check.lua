-- One check: the key's digest, one script call in Redis over a connection of the pool, an answer of five headers.
--
-- It speaks Redis's protocol itself, as far as this script needs it: one write out, one line in.
local ffi = require("ffi")

local IDLE_MS, POOL_SIZE, TIMEOUT_MS = 60000, 128, 1000
-- "allowed", whose key it is, then what is left of each limit.
local ANSWER = "^%+(%d) (%S+) (%d+) (%d+) (%d+)$"

-- nginx itself is linked with OpenSSL.
ffi.cdef("unsigned char *SHA256(const unsigned char *data, size_t size, unsigned char *digest);")
local digest = ffi.new("unsigned char[32]")

local function sha256(text)
  ffi.C.SHA256(text, #text, digest)
  return ffi.string(digest, 32)
end

local function refuse(status)
  ngx.status = status
  ngx.header["Content-Length"] = 0
  return ngx.exit(status)
end

-- Returns the function that answers checks with the script of this SHA-1 in the Redis at this port.
local function checker(host, port, script)
  local call = "*6\r\n$7\r\nEVALSHA\r\n$40\r\n" .. script .. "\r\n$1\r\n2\r\n$42\r\nrival:key:"
  local between = "\r\n$45\r\nrival:limits:"
  local pool = {pool_size = POOL_SIZE}

  return function()
    local key = ngx.var.http_authorization
    if not key or key:sub(1, 7) ~= "Bearer " then return refuse(401) end
    local id = sha256(key:sub(8))
    local socket = ngx.socket.tcp()
    socket:settimeout(TIMEOUT_MS)
    if not socket:connect(host, port, pool) then return refuse(503) end
    -- A quota is one of the calendar month.
    local month = ngx.today():sub(1, 7)
    if not socket:send({call, id, between, id, "\r\n$7\r\n", month, "\r\n"}) then return refuse(503) end
    local line = socket:receive()
    if not line then return refuse(503) end
    socket:setkeepalive(IDLE_MS, POOL_SIZE)
    if line == "+unknown" then return refuse(401) end
    local allowed, user, first, second, quota = line:match(ANSWER)
    if not allowed then return refuse(503) end
    local header = ngx.header
    header["X-RateLimit-Remaining"] = first
    header["X-RateLimit-Remaining-Day"] = second
    header["X-Quota-Remaining"] = quota
    if allowed == "0" then return refuse(429) end
    header["X-Auth-User-Id"] = user
    header["Content-Length"] = 0
    ngx.exit(200)
  end
end

return {checker = checker}
