-- redeliver.lua: a step was claimed from the queue by somebody who never began it; hand it out again under the next delivery.
-- ARGV: 1 step key, 2 the delivery that went astray, 3 its epoch
-- Returns {code, state, epoch, to enqueue, queue}: 0 done · 1 it has been begun or is gone
local n, attempt = lease(ARGV[1])
if n ~= tonumber(ARGV[2]) or attempt ~= '' or call('HGET', JOB, 'epoch') ~= ARGV[3] then return reply(1) end
again(ARGV[1], n, 0)
event('redelivered', 'step', ARGV[1])
return reply(0, dispatch())
