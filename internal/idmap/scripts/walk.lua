-- walk.lua: reads a bucket of a map. It writes nothing.
-- KEYS: 1 the tenant's maps · ARGV: 1 token ('' is whichever), 2 map, 3 number of the bucket, from 0
-- Returns {'read', how many buckets there are, field, id, field, id, ...}, or {'lost'}
local maps, map = KEYS[1], ARGV[2]
if ARGV[1] ~= '' and redis.call('HGET', maps, 'token') ~= ARGV[1] then return {'lost'} end
local answer = {'read', tonumber(redis.call('HGET', maps, 'b:' .. map) or '1')}
for _, v in ipairs(redis.call('HGETALL', maps .. ':' .. map .. ':' .. ARGV[3])) do answer[#answer + 1] = v end
return answer
