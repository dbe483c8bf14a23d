-- One check: the key's digest, one script call in Redis over a connection of the pool, an answer of five headers.
local ffi = require("ffi")

-- "allowed", whose key it is, then what is left of each limit.
local ANSWER = "^(%d) (%S+) (%d+) (%d+) (%d+)$"

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

-- Returns the function that answers checks by what `take` says, which gets the keys of the script and the month.
local function checker(take)
  return function()
    local key = ngx.var.http_authorization
    if not key or key:sub(1, 7) ~= "Bearer " then return refuse(401) end
    local id = sha256(key:sub(8))
    -- A quota is one of the calendar month.
    local told = take("rival:key:" .. id, "rival:limits:" .. id, ngx.today():sub(1, 7))
    if told == "unknown" then return refuse(401) end
    local allowed, user, first, second, quota = (told or ""):match(ANSWER)
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
