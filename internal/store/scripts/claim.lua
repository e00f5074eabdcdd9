-- claim.lua: takes, or keeps, what one attempt at a time may do.
-- KEYS: 1 the claim · ARGV: 1 who wants it, 2 ms until it ends by itself; 0 gives it back
-- Returns who has it now; "" when nobody does
local has = redis.call('GET', KEYS[1])
if ARGV[2] == '0' then
  if has == ARGV[1] then redis.call('DEL', KEYS[1]); return '' end
  return has or ''
end
if has and has ~= ARGV[1] then return has end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return ARGV[1]
