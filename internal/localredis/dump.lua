-- dump.lua: reads the whole database at one moment, for the snapshot file.
--
-- KEYS  none
-- ARGV  [1] a mark that is echoed first, to be seen by the server; "" for none
-- returns an array with one {key, type, ttl, value} per key:
--   type   "string", "hash", "list", "set", "zset" or "stream"
--   ttl    milliseconds until the key ends, -1 when it does not
--   value  string: the bytes; hash: {field, value, ...}; list: from its head; set: members;
--          zset: {member, score, ...}; stream: {{id, {field, value, ...}}, ...}
local readers = {
  string = function(key) return redis.call('GET', key) end,
  hash = function(key) return redis.call('HGETALL', key) end,
  list = function(key) return redis.call('LRANGE', key, 0, -1) end,
  set = function(key) return redis.call('SMEMBERS', key) end,
  zset = function(key) return redis.call('ZRANGE', key, 0, -1, 'WITHSCORES') end,
  stream = function(key) return redis.call('XRANGE', key, '-', '+') end,
}
if ARGV[1] ~= '' then
  redis.call('ECHO', ARGV[1])
end
local out = {}
for _, key in ipairs(redis.call('KEYS', '*')) do
  local kind = redis.call('TYPE', key)['ok']
  local read = readers[kind]
  if read then
    out[#out + 1] = { key, kind, redis.call('PTTL', key), read(key) }
  end
end
return out
