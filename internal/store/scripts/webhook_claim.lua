-- webhook_claim.lua: leases deliveries of a webhook that are due, the longest due first.
-- KEYS: 1 due, 2 stats, 3 definitions
-- ARGV: 1 at most how many, 2 lease in ms, 3 token of the lease, 4 prefix of rows
-- Returns {whether definitions were ever written, sum of the address that answered 410 or "", ms until the next one is due (-1: none is
--   known), id, {field, value, ...}, id, ...}
local call = redis.call
local t = call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local function int(n) return string.format('%.0f', n) end
-- A clock that was set back: what waits by it waits on for as long as it would have.
local clock = tonumber(call('HGET', KEYS[2], 'clock') or '0')
if clock > now then
  call('HSET', KEYS[2], 'clock', int(now))
  local wait = call('ZRANGEBYSCORE', KEYS[1], '(' .. int(now), '+inf', 'WITHSCORES')
  for k = 1, #wait, 2 do call('ZADD', KEYS[1], int(math.max(now, tonumber(wait[k + 1]) - clock + now)), wait[k]) end
end
local rows = {}
for _, id in ipairs(call('ZRANGEBYSCORE', KEYS[1], '-inf', int(now), 'LIMIT', 0, ARGV[1])) do
  local row = call('HGETALL', ARGV[4] .. id)
  if #row == 0 then -- it has expired
    call('ZREM', KEYS[1], id)
  else
    call('ZADD', KEYS[1], int(now + tonumber(ARGV[2])), id)
    call('HSET', ARGV[4] .. id, 'lease', ARGV[3])
    rows[#rows + 1] = id
    rows[#rows + 1] = row
  end
end
if #rows > 0 then call('HSET', KEYS[2], 'clock', int(now)) end
local first = call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
local wait = first[2] and math.max(0, tonumber(first[2]) - now) or -1
return {call('EXISTS', KEYS[3]), call('HGET', KEYS[2], 'gone') or '', int(wait), unpack(rows)}
