-- beat.lua: a worker's heartbeat: what it says of itself, and what is wanted of it. Time is Redis' own.
-- KEYS: 1 beats, 2 worker, 3 fences · ARGV: 1 worker id, 2 ms until an entry without heartbeats expires, then field, value, ...
-- Returns {what is wanted ("", "drain" or "active"), lost: 1 when it had been given up since its last heartbeat, fences: flat
--   list which, json or "" of a lifted one, who wanted it}
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local fields = {}
for k = 3, #ARGV do fields[#fields + 1] = ARGV[k] end
redis.call('HSET', KEYS[2], 'beat', string.format('%.0f', now), unpack(fields))
redis.call('PEXPIRE', KEYS[2], ARGV[2])
redis.call('ZADD', KEYS[1], string.format('%.0f', now), ARGV[1])
local f = redis.call('HMGET', KEYS[2], 'wanted', 'lost', 'wanted_by')
if f[2] then redis.call('HDEL', KEYS[2], 'lost') end
return {f[1] or '', f[2] and 1 or 0, redis.call('HGETALL', KEYS[3]), f[3] or ''}
