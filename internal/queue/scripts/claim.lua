-- claim.lua: claims up to so many tasks at once, each the way asynq's own dequeue does it. Who gets nothing leaves a mark that
-- there is an idle consumer to be woken. A task whose hash is gone is dropped instead of staying active for ever.
-- KEYS: 1 pending, 2 paused, 3 active, 4 lease, 5 idle mark · ARGV: 1 lease expires (unix s), 2 prefix of task keys, 3 how many
-- Returns id, message, id, message, ...
local call = redis.call
local msgs = {}
if call('EXISTS', KEYS[2]) == 1 then return msgs end
while #msgs < 2 * tonumber(ARGV[3]) do
  local id = call('RPOPLPUSH', KEYS[1], KEYS[3])
  if not id then break end
  local key = ARGV[2] .. id
  local msg = call('HGET', key, 'msg')
  if msg then
    call('HSET', key, 'state', 'active')
    call('HDEL', key, 'pending_since')
    call('ZADD', KEYS[4], ARGV[1], id)
    msgs[#msgs + 1] = id
    msgs[#msgs + 1] = msg
  else
    call('LREM', KEYS[3], 1, id)
  end
end
if #msgs == 0 then call('SET', KEYS[5], 1, 'EX', 5) end
return msgs
