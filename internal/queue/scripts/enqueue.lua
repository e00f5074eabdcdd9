-- enqueue.lua: puts tasks on a queue, each the way asynq's own enqueue does it, and wakes idle consumers, if there are any:
-- telling those that are busy would only cost them. A task whose id is there already is left as it is.
-- KEYS: 1 pending, 2 idle mark · ARGV: 1 prefix of task keys, 2 channel of the wake-up, then for each task: id, message, now (ns)
local call = redis.call
for k = 3, #ARGV, 3 do
  local key = ARGV[1] .. ARGV[k]
  if call('EXISTS', key) == 0 then
    call('HSET', key, 'msg', ARGV[k + 1], 'state', 'pending', 'pending_since', ARGV[k + 2])
    call('LPUSH', KEYS[1], ARGV[k])
  end
end
if call('DEL', KEYS[2]) == 1 then call('PUBLISH', ARGV[2], '') end
return redis.status_reply('OK')
