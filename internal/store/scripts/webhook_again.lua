-- webhook_again.lua: sends a delivery again, now, with a new budget; also to a receiver that has answered 410.
-- KEYS: 1 row, 2 due · ARGV: 1 id, 2 kept for ms
-- Returns 1 done · 0 there is none
local call = redis.call
if call('EXISTS', KEYS[1]) == 0 then return 0 end
local t = call('TIME')
call('HSET', KEYS[1], 'state', 'pending', 'tries', 0, 'asked', 1, 'lease', '')
call('HDEL', KEYS[1], 'ended')
call('ZADD', KEYS[2], string.format('%.0f', t[1] * 1000 + math.floor(t[2] / 1000)), ARGV[1])
for _, key in ipairs(KEYS) do call('PEXPIRE', key, ARGV[2]) end
return 1
