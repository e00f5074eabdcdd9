-- admit.lua: lets jobs of a tenant in, the first in line first, while fewer than its limit run.
-- KEYS: 1 waiting, 2 running · ARGV: 1 how many may run; 0 is without limit
-- Returns the ids that were let in
local limit = tonumber(ARGV[1])
local room = limit == 0 and 1000 or limit - redis.call('SCARD', KEYS[2])
local ids = {}
if room <= 0 then return ids end
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, room - 1)) do
  redis.call('ZREM', KEYS[1], id)
  redis.call('SADD', KEYS[2], id)
  ids[#ids + 1] = id
end
return ids
