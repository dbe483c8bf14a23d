-- Asks extauth about a request: haproxy.cfg loads this. README.md explains.
--   lua.extauth_check   asks, and sets txn.extauth_status (0 where extauth gave no usable answer), txn.extauth_allowed
--                       and txn.extauth_lease; identity goes into the request, limits into variables
--   lua.extauth_refuse  answers with the refusal that was got
-- A fault in here doesn't stop a request. The guard in haproxy.cfg does: only extauth_allowed gets past it.

-- haproxy.cfg's own way to extauth, which keeps connections and times out: a socket here is for one check.
local HOST, PORT = "127.0.0.1", 8086
local PATIENCE_S = 60

local ASKED = { "host", "authorization", "x-api-key", "x-request-id", "x-forwarded-proto", "traceparent" }
local IDENTITY = { "x-auth-key-id", "x-auth-user-id", "x-auth-scopes", "x-auth-tier" }
local LIMITS = {
  "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "ratelimit", "ratelimit-policy", "deprecation", "sunset",
}
local REFUSAL = { "content-type", "cache-control", "www-authenticate", "retry-after" }
local PROBLEM = "application/problem+json"

local function question(txn)
  local headers = txn.http:req_get_headers()
  local lines = {
    "GET /nginx HTTP/1.1", "connection: close", "x-original-method: " .. txn.f:method(),
    "x-original-uri: " .. txn.f:pathq(), "x-extauth-client-ip: " .. txn.f:src(),
  }
  for _, name in ipairs(ASKED) do
    -- HAProxy counts the lines of a header from 0. Two of a credential are refused.
    for number = 0, headers[name] and #headers[name] or -1 do
      lines[#lines + 1] = name .. ": " .. headers[name][number]
    end
  end
  return table.concat(lines, "\r\n") .. "\r\n\r\n"
end

-- Returns status, headers and body; nothing where there is no whole answer.
local function read(socket)
  local status = tonumber((socket:receive("*l") or ""):match("^HTTP/1%.1 (%d%d%d) "))
  if not status then return nil end
  local headers = {}
  local line = socket:receive("*l")
  while line and line ~= "" and line ~= "\r" do
    local name, value = line:match("^([^:]+):[ \t]*(.-)[ \t\r]*$")
    if not name then return nil end
    headers[name:lower()] = value
    line = socket:receive("*l")
  end
  local length = tonumber(headers["content-length"] or "0")
  if not line or not length then return nil end
  local body = length > 0 and socket:receive(length) or ""
  if not body or #body ~= length then return nil end
  return { status = status, headers = headers, body = body }
end

local function ask(txn)
  local socket = core.tcp()
  socket:settimeout(PATIENCE_S)
  local answer
  if socket:connect(HOST, PORT) and socket:send(question(txn)) then answer = read(socket) end
  socket:close()
  return answer
end

core.register_action("extauth_check", { "http-req" }, function(txn)
  txn:set_var("txn.extauth_status", 0)
  local answer = ask(txn)
  local headers = answer and answer.headers or {}
  local status = tonumber(headers["x-extauth-status"] or "") or 0
  if status == 200 and answer.status == 200 then
    for _, name in ipairs(IDENTITY) do
      local value = headers[name] or ""
      if value ~= "" then txn.http:req_set_header(name, value) end
    end
    for _, name in ipairs(LIMITS) do
      local value = headers[name] or ""
      if value ~= "" then txn:set_var("txn.extauth_" .. name:gsub("-", "_"), value) end
    end
    local lease = headers["x-extauth-lease"] or ""
    if lease ~= "" then
      txn:set_var("txn.extauth_lease", lease)
      txn:set_var("txn.extauth_signal", "rid=" .. txn:get_var("txn.extauth_id") .. " lease=" .. lease)
    end
    txn:set_var("txn.extauth_status", 200)
    txn:set_var("txn.extauth_allowed", true)
  elseif status >= 400 and headers["content-type"] == PROBLEM then
    txn:set_var("txn.extauth_status", status)
    txn:set_priv({ status = status, headers = headers, body = answer.body })
  end
end, 0)

core.register_action("extauth_refuse", { "http-req" }, function(txn)
  local refused = txn:get_priv()
  local reply = txn:reply()
  reply:set_status(refused.status)
  for _, names in ipairs({ REFUSAL, LIMITS }) do
    for _, name in ipairs(names) do
      local value = refused.headers[name] or ""
      if value ~= "" then reply:add_header(name, value) end
    end
  end
  reply:set_body(refused.body or "")
  txn:done(reply)
end, 0)
