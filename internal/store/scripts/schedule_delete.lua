-- schedule_delete.lua: removes a schedule, its history and the tick that waits. A tick that has fired stays in the outbox.
-- KEYS: 1 schedule, 2 names, 3 due, 4 outbox, 5 ticks, 6 history · ARGV: 1 name, 2 rev of the schedule that is meant
-- Returns 1 removed · 0 somebody has moved it
if (redis.call('HGET', KEYS[1], 'rev') or '') ~= ARGV[2] then return 0 end
local waiting = redis.call('HGET', KEYS[1], 'waiting')
if waiting then redis.call('HDEL', KEYS[4], waiting) end
redis.call('DEL', KEYS[1], KEYS[5], KEYS[6])
redis.call('SREM', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[3], ARGV[1])
return 1
