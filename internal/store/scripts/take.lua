-- take.lua: takes one step from a rate, by the generic cell rate algorithm (ITU-T I.371), with a burst of one second's worth.
-- KEYS: 1 the theoretical arrival time of the next step, us · ARGV: 1 steps a second
-- Returns 0 when the step may run, else us until it is worth asking again
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local each = 1000000 / tonumber(ARGV[1])
local due = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now)
if due > now + 1000000 then due = now end -- the clock was set back: a second's worth is the most that may be ahead
local tolerance = 1000000 - each
if due - now > tolerance then return math.ceil(due - now - tolerance) end
redis.call('SET', KEYS[1], string.format('%.0f', due + each), 'PX', 3000)
return 0
