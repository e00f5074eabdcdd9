-- number.lua: gives a build its number. The same build gets the same number again, no other build ever does, and none is left out.
-- KEYS: 1 numbers of the product · ARGV: 1 what the build is of, 2 the least number it may have, 3 the build's number is taken: give
-- it another one (1) or not (0)
-- Returns the number
local field = 'b:' .. ARGV[1]
local had = redis.call('HGET', KEYS[1], field)
if had and (ARGV[3] == '0' or tonumber(had) >= tonumber(ARGV[2])) then return tonumber(had) end
local n = math.max(tonumber(redis.call('HGET', KEYS[1], 'last') or '0') + 1, tonumber(ARGV[2]))
redis.call('HSET', KEYS[1], 'last', n, field, n)
return n
