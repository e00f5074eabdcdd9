-- forget.lua: removes a map. The token stays: who comes next finds the maps of before, without this one.
-- KEYS: 1 the tenant's maps · ARGV: 1 map
-- Returns how many ids it had; 0 when there is no such map
local maps, map = KEYS[1], ARGV[1]
local count = tonumber(redis.call('HGET', maps, 'n:' .. map) or '0')
if count == 0 then return 0 end
local buckets = tonumber(redis.call('HGET', maps, 'b:' .. map) or '1')
for n = 0, buckets - 1 do redis.call('UNLINK', maps .. ':' .. map .. ':' .. n) end
redis.call('HDEL', maps, 'n:' .. map, 'b:' .. map)
redis.call('HINCRBY', maps, 'ids', -count)
return count
