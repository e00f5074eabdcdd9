-- revoke.lua: takes a lease back whose living worker does not know of it: Redis has come back as it was before the attempt ended.
-- ARGV: 1 step key, 2 attempt
-- Returns {code, state, epoch, to enqueue, queue}: 0 done · 1 the attempt does not hold the step any more
local mine, n, worker, since = holds(ARGV[1], ARGV[2])
if not mine then return reply(1) end
tally(ARGV[1], worker, since, 'revoked')
interrupted(ARGV[1], 'revoked', worker)
again(ARGV[1], n, 0)
event('revoked', 'step', ARGV[1], 'worker', worker)
return reply(0, dispatch())
