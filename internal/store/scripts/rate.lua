-- rate.lua: adds what a job has reached to the rate of its kind and target: sums of rows and seconds, of which the older ones
-- count less and less, so that a long job says more than a short one.
-- KEYS: 1 rates, 2 when each was written · ARGV: 1 field, 2 rows, 3 seconds, 4 what older sums are multiplied by, 5 rates kept
local call = redis.call
local old = call('HGET', KEYS[1], ARGV[1])
local r = old and cjson.decode(old) or {rows = 0, seconds = 0, jobs = 0}
local keep = tonumber(ARGV[4])
r = {rows = r.rows * keep + tonumber(ARGV[2]), seconds = r.seconds * keep + tonumber(ARGV[3]), jobs = r.jobs + 1}
call('HSET', KEYS[1], ARGV[1], cjson.encode(r))
local t = call('TIME')
call('ZADD', KEYS[2], string.format('%.0f', t[1] * 1000 + math.floor(t[2] / 1000)), ARGV[1])
local over = call('ZCARD', KEYS[2]) - tonumber(ARGV[5])
if over > 0 then
  for _, field in ipairs(call('ZRANGE', KEYS[2], 0, over - 1)) do call('HDEL', KEYS[1], field) end
  call('ZREMRANGEBYRANK', KEYS[2], 0, over - 1)
end
return 1
