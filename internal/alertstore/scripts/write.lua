-- write.lua: changes several things at once, if nobody has changed what the change was made of.
-- KEYS: 1 any key of alerts: all that is touched shares its hash tag
-- ARGV: 1 json {checks, hashes, zadd, zrem, hset, hdel, del, expire}; the lists hold keys, fields and numbers, and for values the
--   index of an argument:
--     checks  [[key, version]]                 the field v of a hash; "" where there must be none
--     hashes  [[key, version, body index]]     writes v and body
--     hset    [[key, field, value index]]
--     hdel    [[key, field, value]]            while the field has that value
--     zadd    [[key, score, member]]
--     zmin    [[key, score, member]]           as zadd, where the score is lower than the one that is there
--     zrem    [[key, member]]
--     del     [key]
--     expire  [[key, ms]]                      0 makes it last
-- Returns "" when it was done, else the key whose version was another one.
local call = redis.call
local c = cjson.decode(ARGV[1])
for _, x in ipairs(c.checks or {}) do
  if (call('HGET', x[1], 'v') or '') ~= x[2] then return x[1] end
end
for _, x in ipairs(c.hashes or {}) do call('HSET', x[1], 'v', x[2], 'body', ARGV[x[3]]) end
for _, x in ipairs(c.hset or {}) do call('HSET', x[1], x[2], ARGV[x[3]]) end
for _, x in ipairs(c.hdel or {}) do if call('HGET', x[1], x[2]) == x[3] then call('HDEL', x[1], x[2]) end end
for _, x in ipairs(c.zadd or {}) do call('ZADD', x[1], string.format('%.0f', x[2]), x[3]) end
for _, x in ipairs(c.zmin or {}) do
  local old = call('ZSCORE', x[1], x[3])
  if not old or tonumber(old) > x[2] then call('ZADD', x[1], string.format('%.0f', x[2]), x[3]) end
end
for _, x in ipairs(c.zrem or {}) do call('ZREM', x[1], x[2]) end
for _, x in ipairs(c.del or {}) do call('DEL', x) end
for _, x in ipairs(c.expire or {}) do
  if x[2] > 0 then call('PEXPIRE', x[1], string.format('%.0f', x[2])) else call('PERSIST', x[1]) end
end
return ''
