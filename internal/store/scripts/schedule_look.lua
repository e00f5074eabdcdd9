-- schedule_look.lua: what there is to do for schedulers: which schedules are due, and the whole outbox.
-- KEYS: 1 due, 2 outbox, 3 how often a configuration was written
-- Returns {now in ms, names that are due, when the first of the others fires in ms or "", {tick id, json, ...}, how often a configuration was written}
local t = redis.call('TIME')
local now = string.format('%.0f', t[1] * 1000 + math.floor(t[2] / 1000))
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now)
local first = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. now, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
return {now, due, first[2] or '', redis.call('HGETALL', KEYS[2]), redis.call('GET', KEYS[3]) or 0}
