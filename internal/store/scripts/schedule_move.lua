-- schedule_move.lua: moves a schedule by compare-and-set on its rev, with everything that goes along with the move: the
-- history, the outbox, the index of what is due. A decision that was made on anything but the present state does nothing.
-- KEYS: 1 schedule, 2 names, 3 due, 4 outbox, 5 ticks, 6 history
-- ARGV: 1 name, 2 rev that the move was made from ("": there was no schedule), 3 when that was seen, ms of Redis' clock,
--   4 for how long a look is good enough, ms, 5 when the next tick fires, ms ("": never, it is paused), 6 ticks kept,
--   7 n: number of fields, then n fields and values (rev is one of them), then per tick: id, due ms, json for the history,
--   json for the outbox ("": not for the outbox)
-- Returns 1 moved · 0 somebody else has moved it · 2 the look is too old, or from another clock
if (redis.call('HGET', KEYS[1], 'rev') or '') ~= ARGV[2] then return 0 end
local t = redis.call('TIME')
local age = t[1] * 1000 + math.floor(t[2] / 1000) - tonumber(ARGV[3])
if age < 0 or age > tonumber(ARGV[4]) then return 2 end
local at = 8
for _ = 1, tonumber(ARGV[7]) do
  redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 1])
  at = at + 2
end
redis.call('SADD', KEYS[2], ARGV[1])
if ARGV[5] == '' then
  redis.call('ZREM', KEYS[3], ARGV[1])
else
  redis.call('ZADD', KEYS[3], ARGV[5], ARGV[1])
end
while at < #ARGV do
  redis.call('ZADD', KEYS[5], ARGV[at + 1], ARGV[at])
  redis.call('HSET', KEYS[6], ARGV[at], ARGV[at + 2])
  if ARGV[at + 3] ~= '' then redis.call('HSET', KEYS[4], ARGV[at], ARGV[at + 3]) end
  at = at + 4
end
local over = redis.call('ZCARD', KEYS[5]) - tonumber(ARGV[6])
if over > 0 then
  for _, id in ipairs(redis.call('ZRANGE', KEYS[5], 0, over - 1)) do redis.call('HDEL', KEYS[6], id) end
  redis.call('ZREMRANGEBYRANK', KEYS[5], 0, over - 1)
end
return 1
