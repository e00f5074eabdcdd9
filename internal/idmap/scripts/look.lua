-- look.lua: looks ids up in a map. It writes nothing.
-- KEYS: 1 the tenant's maps; the buckets of a map are KEYS[1]:<map>:<number>, in the same slot
-- ARGV: 1 token ('' is whichever), 2 map, then fields
-- Returns {'found', ids of the tenant, then for each field its id or nil (false in Lua)}
--         {'lost'}: these are not the maps of this token
local maps, map = KEYS[1], ARGV[2]
if ARGV[1] ~= '' and redis.call('HGET', maps, 'token') ~= ARGV[1] then return {'lost'} end
local answer = {'found', tonumber(redis.call('HGET', maps, 'ids') or '0')}
local buckets = tonumber(redis.call('HGET', maps, 'b:' .. map) or '1')
local power = 1
while power * 2 <= buckets do power = power * 2 end
for i = 3, #ARGV do
  local h = tonumber(string.sub(redis.sha1hex(ARGV[i]), 1, 8), 16)
  local n = h % (power * 2)
  if n >= buckets then n = h % power end
  answer[i] = redis.call('HGET', maps .. ':' .. map .. ':' .. n, ARGV[i])
end
return answer
