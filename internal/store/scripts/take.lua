-- take.lua: takes one step from a rate, by the generic cell rate algorithm (ITU-T I.371), with a burst of one second's worth. Jobs
-- that were told to wait stand in line, and one step is kept for each of those before the job that asks: one with many steps does
-- not take it all. A job that has not come back in time loses its place.
-- KEYS: 1 the theoretical arrival time of the next step, us; jobs in line: 2 since when, us; 3 until when each is waited for, us
-- ARGV: 1 steps a second, 2 job, 3 us that it may come back later than it was told
-- Returns 0 when the step may run, else us until it is worth asking again
local call = redis.call
local t = call('TIME')
local now = t[1] * 1000000 + t[2]
local each = 1000000 / tonumber(ARGV[1])
local due = math.max(tonumber(call('GET', KEYS[1]) or '0'), now)
local most, late = 10000000, tonumber(ARGV[3]) -- nobody is told to wait for longer
local ahead = call('ZRANGEBYSCORE', KEYS[3], string.format('(%.0f', now + most + late), '+inf', 'LIMIT', 0, 1)
if due > now + 1000000 or #ahead > 0 then -- the clock was set back: a second's worth is the most that may be ahead
  due = now
  call('DEL', KEYS[2], KEYS[3])
end
local gone = call('ZRANGEBYSCORE', KEYS[3], '-inf', string.format('(%.0f', now), 'LIMIT', 0, 100)
if #gone > 0 then
  call('ZREM', KEYS[2], unpack(gone))
  call('ZREM', KEYS[3], unpack(gone))
end
local before = call('ZRANK', KEYS[2], ARGV[2]) or call('ZCARD', KEYS[2])
local free = due - now - (1000000 - each) + before * each -- us until there is one for each of them, and one more
if free <= 0 then
  call('SET', KEYS[1], string.format('%.0f', due + each), 'PX', 3000)
  if call('ZREM', KEYS[2], ARGV[2]) == 1 then call('ZREM', KEYS[3], ARGV[2]) end
  return 0
end
local wait = math.min(math.ceil(free), most)
call('ZADD', KEYS[2], 'NX', string.format('%.0f', now), ARGV[2])
call('ZADD', KEYS[3], string.format('%.0f', now + wait + late), ARGV[2])
for k = 2, 3 do call('PEXPIRE', KEYS[k], 60000) end
return wait
