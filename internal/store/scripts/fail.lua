-- fail.lua: an attempt failed. The step is tried again after a while, until its budget is spent or no retry can help.
-- ARGV: 1 step key, 2 attempt, 3 reason, 4 hint, 5 "1" when no retry can help, 6 try again after ms, 7 worker
-- Returns {code, state, epoch, to enqueue, queue}: 0 will be tried again · 1 stale · 2 failed for good
local key, attempt, reason, hint = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local mine, n, worker, since = holds(key, attempt)
if not mine then return reply(1) end
tally(key, worker, since, 'failed')
because('failed', reason)
local failed = call('HINCRBY', FAILS, key, 1)
local j = call('HMGET', JOB, 'retries', 'on_failure', 'state')
if ARGV[5] ~= '1' and failed <= tonumber(j[1]) then
  again(key, n, tonumber(ARGV[6]))
  event('attempt_failed', 'step', key, 'reason', reason, 'worker', ARGV[7], 'failed', failed, 'again_ms', ARGV[6])
  return reply(0, dispatch())
end
local i = stage_of(key)
local stage = i and call('HGET', STAGES, i .. ':name') or ''
call('HDEL', OUT, key)
call('HSET', DEAD, key, cjson.encode({stage = stage, step = string.match(key, '/(.*)$') or key, reason = reason, hint = hint, worker = ARGV[7], at_ms = NOW, failed = failed, delivery = n}))
event('step_failed', 'step', key, 'stage', stage, 'reason', reason, 'worker', ARGV[7])
local run = string.find(key, '/', 1, true)
if run then call('HINCRBY', STAGES, i .. ':failed', 1) end
if j[2] == 'skip' and run then
  if call('HINCRBY', STAGES, i .. ':live', -1) == 0 then close_if_done(i) end
elseif not ended(j[3]) then
  call('HSET', JOB, 'error', reason, 'hint', hint)
  finish('failed')
end
return reply(2, dispatch())
