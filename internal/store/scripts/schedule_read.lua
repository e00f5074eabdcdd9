-- schedule_read.lua: a schedule as it stands, with what the outbox has of it, and the time.
-- KEYS: 1 schedule, 2 outbox
-- Returns {now in ms, {field, value, ...} (empty: there is none), 1 when the job of the last tick is not known to be created, json of the tick that waits or ""}
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local f = redis.call('HMGET', KEYS[1], 'last_tick', 'waiting')
local open = f[1] and redis.call('HEXISTS', KEYS[2], f[1]) or 0
local waits = f[2] and redis.call('HGET', KEYS[2], f[2]) or ''
return {string.format('%.0f', now), redis.call('HGETALL', KEYS[1]), open, waits or ''}
