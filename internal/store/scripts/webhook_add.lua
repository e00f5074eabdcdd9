-- webhook_add.lua: makes a delivery once. When a webhook has too many, the oldest are dropped, and those of them that wait are
-- counted as given up.
-- KEYS: 1 row, 2 due, 3 list, 4 stats, all of one webhook
-- ARGV: 1 id, 2 rows kept, 3 kept for ms, 4 prefix of rows, 5.. fields and values of the row
-- Returns {1 made · 0 it was there, how many that waited were dropped}
local call = redis.call
if call('EXISTS', KEYS[1]) == 1 then return {0, 0} end
local t = call('TIME')
local now = string.format('%.0f', t[1] * 1000 + math.floor(t[2] / 1000))
call('HSET', KEYS[1], 'state', 'pending', 'created', now, 'attempts', 0, 'tries', 0, unpack(ARGV, 5))
call('ZADD', KEYS[2], now, ARGV[1])
call('ZADD', KEYS[3], now, ARGV[1])
if tonumber(now) > tonumber(call('HGET', KEYS[4], 'clock') or '0') then call('HSET', KEYS[4], 'clock', now) end
local dropped = 0
local over = call('ZCARD', KEYS[3]) - tonumber(ARGV[2])
if over > 0 then
  for _, id in ipairs(call('ZRANGE', KEYS[3], 0, over - 1)) do
    if call('ZREM', KEYS[2], id) == 1 then
      dropped = dropped + 1
      call('HINCRBY', KEYS[4], 'gave_up', 1)
    end
    call('DEL', ARGV[4] .. id)
  end
  call('ZREMRANGEBYRANK', KEYS[3], 0, over - 1)
end
for _, key in ipairs(KEYS) do call('PEXPIRE', key, ARGV[3]) end
return {1, dropped}
