-- living.lua: who is alive by its heartbeat; marks those that are not as lost and forgets them after a while.
-- KEYS: 1 beats · ARGV: 1 lost after ms, 2 prefix of worker keys, 3 forgotten after ms
-- Returns {living ids, ids lost just now, now in ms}
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local edge = string.format('%.0f', now - tonumber(ARGV[1]))
-- A heartbeat that is still to come was sent before the clock was set back: its worker would live for as long, whatever became of it.
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. string.format('%.0f', now), '+inf')) do
  redis.call('ZADD', KEYS[1], string.format('%.0f', now), id)
end
local lost = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '(' .. edge)) do
  local key = ARGV[2] .. id
  local state = redis.call('HMGET', key, 'state', 'lost')
  if state[1] and state[1] ~= 'stopped' and not state[2] then
    redis.call('HSET', key, 'lost', 1)
    lost[#lost + 1] = id
  end
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now - tonumber(ARGV[3])))
return {redis.call('ZRANGEBYSCORE', KEYS[1], edge, '+inf'), lost, now}
