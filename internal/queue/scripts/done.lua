-- done.lua: completes tasks, the way asynq's own completion does it, without its complaint about a task that is gone:
-- completing twice does nothing.
-- KEYS: 1 active, 2 lease, 3 processed today, 4 processed · ARGV: 1 prefix of task keys, 2 statistics expire at (unix s), 3.. ids
local call = redis.call
local n = 0
for k = 3, #ARGV do
  if call('LREM', KEYS[1], 1, ARGV[k]) == 1 then
    call('ZREM', KEYS[2], ARGV[k])
    call('DEL', ARGV[1] .. ARGV[k])
    n = n + 1
  end
end
if n > 0 then
  if call('INCRBY', KEYS[3], n) == n then call('EXPIREAT', KEYS[3], ARGV[2]) end
  call('INCRBY', KEYS[4], n)
end
return redis.status_reply('OK')
