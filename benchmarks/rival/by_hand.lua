-- Asks Redis by speaking its protocol as far as this script needs it, one write out and one line in: less work than any library.
local IDLE_MS, POOL_SIZE, TIMEOUT_MS = 60000, 128, 1000

-- Returns what calls the script of this SHA-1 in the Redis at this port.
return function(host, port, script)
  local call = "*6\r\n$7\r\nEVALSHA\r\n$40\r\n" .. script .. "\r\n$1\r\n2\r\n$42\r\n"
  local pool = {pool_size = POOL_SIZE}
  return function(record, state, month)
    local socket = ngx.socket.tcp()
    socket:settimeout(TIMEOUT_MS)
    if not socket:connect(host, port, pool) then return nil end
    -- A month has seven characters, the names of keys end with a digest of 32 bytes.
    if not socket:send({call, record, "\r\n$45\r\n", state, "\r\n$7\r\n", month, "\r\n"}) then return nil end
    local line = socket:receive()
    if not line then return nil end
    socket:setkeepalive(IDLE_MS, POOL_SIZE)
    return line:sub(2)
  end
end
