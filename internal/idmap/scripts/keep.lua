-- keep.lua: keeps ids in a map, all of them or none. An id that is there stays as it is: the first answer holds.
-- KEYS: 1 the tenant's maps; the buckets of a map are KEYS[1]:<map>:<number>, in the same slot
-- ARGV: 1 token, 2 map, 3 the most ids of the tenant, 4 ids of a bucket, then field, id, field, id, ...
-- Returns {'kept', how many are new, then place of a pair (from 1) and the id there, for each that differs}
--         {'full', ids of the tenant, how many would be new}: nothing was kept
--         {'lost'}: these are not the maps of this token
local maps, map, most, fill = KEYS[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
if redis.call('HGET', maps, 'token') ~= ARGV[1] then return {'lost'} end
local bucket = maps .. ':' .. map .. ':'
local buckets = tonumber(redis.call('HGET', maps, 'b:' .. map) or '1')

-- Linear hashing: bucket n is split off from n - power, so that a map grows by one bucket at a time.
local power = 1
while power * 2 <= buckets do power = power * 2 end
local function hash(field) return tonumber(string.sub(redis.sha1hex(field), 1, 8), 16) end
local function place(h)
  local n = h % (power * 2)
  if n >= buckets then n = h % power end
  return bucket .. n
end

local answer, fresh, seen, total = {'kept', 0}, {}, {}, 0
for i = 5, #ARGV, 2 do
  local at = place(hash(ARGV[i]))
  local id = seen[ARGV[i]] or redis.call('HGET', at, ARGV[i])
  if not id or id == '' then -- '' is a record for which no id was given
    if not id then total = total + 1 end
    if not id or ARGV[i + 1] ~= '' then fresh[#fresh + 1] = {at, ARGV[i], ARGV[i + 1]} end
    seen[ARGV[i]] = ARGV[i + 1]
  elseif id ~= ARGV[i + 1] and ARGV[i + 1] ~= '' then
    answer[#answer + 1] = (i - 3) / 2
    answer[#answer + 1] = id
  end
end
local there = tonumber(redis.call('HGET', maps, 'ids') or '0')
if total > 0 and there + total > most then return {'full', there, total} end
for _, f in ipairs(fresh) do redis.call('HSET', f[1], f[2], f[3]) end
answer[2] = total
if total == 0 then return answer end
redis.call('HINCRBY', maps, 'ids', total)
local count = redis.call('HINCRBY', maps, 'n:' .. map, total)

while count > buckets * fill do
  local from, to = bucket .. (buckets - power), bucket .. buckets
  local all, stay, go = redis.call('HGETALL', from), {}, {}
  for i = 1, #all, 2 do
    local part = stay
    if hash(all[i]) % (power * 2) == buckets then part = go end
    part[#part + 1], part[#part + 2] = all[i], all[i + 1]
  end
  redis.call('DEL', from) -- written anew, so that it is small in memory again
  for key, part in pairs({[from] = stay, [to] = go}) do
    for i = 1, #part, 1000 do redis.call('HSET', key, unpack(part, i, math.min(i + 999, #part))) end
  end
  buckets = buckets + 1
  if power * 2 <= buckets then power = power * 2 end
  redis.call('HSET', maps, 'b:' .. map, buckets)
end
return answer
