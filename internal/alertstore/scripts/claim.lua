-- claim.lua: leases messages to a channel that are due, the longest due first.
-- KEYS: 1 due of the channel, 2 channels
-- ARGV: 1 now in ms, 2 at most how many, 3 lease in ms, 4 token of the lease, 5 prefix of messages, 6 the channel
-- Returns {id, body, tries, "1" if its last sender died while sending, ...}
local call = redis.call
local now, out = tonumber(ARGV[1]), {}
local function int(n) return string.format('%.0f', n) end
for _, id in ipairs(call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])) do
  local m = call('HMGET', ARGV[5] .. id, 'body', 'tries', 'sending')
  if not m[1] then
    call('ZREM', KEYS[1], id)
  else
    call('ZADD', KEYS[1], int(now + tonumber(ARGV[3])), id)
    call('HSET', ARGV[5] .. id, 'lease', ARGV[4])
    for _, x in ipairs({id, m[1], m[2] or '0', m[3] or ''}) do out[#out + 1] = x end
  end
end
local first = call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
if first[2] then call('ZADD', KEYS[2], first[2], ARGV[6]) else call('ZREM', KEYS[2], ARGV[6]) end
return out
