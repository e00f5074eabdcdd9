-- webhook_settle.lua: what came of an attempt at a delivery, fenced by the token of its lease.
-- KEYS: 1 row, 2 due, 3 stats
-- ARGV: 1 id, 2 token, 3 delivered, pending (it is tried again) or gave_up, 4 HTTP status or 0, 5 error, 6 how long it took in ms,
--   7 try again after ms, 8 sum of the address that answered 410, or "", 9 "0" when nothing was sent
-- Returns 1 done · 0 somebody else has it
local call = redis.call
if call('HGET', KEYS[1], 'lease') ~= ARGV[2] then return 0 end
local t = call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local function int(n) return string.format('%.0f', n) end
if ARGV[9] ~= '0' then
  call('HINCRBY', KEYS[1], 'attempts', 1)
  call('HINCRBY', KEYS[1], 'tries', 1)
  call('HSET', KEYS[3], 'last_at', int(now), 'last_status', ARGV[4], 'last_error', ARGV[5])
end
call('HSET', KEYS[1], 'state', ARGV[3], 'status', ARGV[4], 'error', ARGV[5], 'took', ARGV[6], 'lease', '')
if ARGV[3] == 'pending' then
  call('ZADD', KEYS[2], int(now + tonumber(ARGV[7])), ARGV[1])
  if now > tonumber(call('HGET', KEYS[3], 'clock') or '0') then call('HSET', KEYS[3], 'clock', int(now)) end -- by which it waits
else
  call('HSET', KEYS[1], 'ended', int(now))
  call('ZREM', KEYS[2], ARGV[1])
  call('HINCRBY', KEYS[3], ARGV[3], 1)
end
if ARGV[3] == 'delivered' then
  call('HDEL', KEYS[3], 'failing', 'gone')
elseif ARGV[9] ~= '0' or ARGV[3] == 'gave_up' then
  call('HSETNX', KEYS[3], 'failing', int(now))
  if ARGV[8] ~= '' then call('HSET', KEYS[3], 'gone', ARGV[8]) end
end
return 1
