-- unclaim.lua: gives claimed tasks back, to be the next that are claimed, and wakes idle consumers.
-- KEYS: 1 pending, 2 active, 3 lease, 4 idle mark · ARGV: 1 prefix of task keys, 2 channel of the wake-up, 3.. ids
local call = redis.call
for k = #ARGV, 3, -1 do
  if call('LREM', KEYS[2], 1, ARGV[k]) == 1 then
    call('ZREM', KEYS[3], ARGV[k])
    call('RPUSH', KEYS[1], ARGV[k])
    call('HSET', ARGV[1] .. ARGV[k], 'state', 'pending')
  end
end
if call('DEL', KEYS[4]) == 1 then call('PUBLISH', ARGV[2], '') end
return redis.status_reply('OK')
