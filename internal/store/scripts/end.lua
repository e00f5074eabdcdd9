-- end.lua: a step is over: counts its stage down, opens the stages that waited for it, and hands out what comes next.
-- ARGV: 1 step key, 2 attempt, 3 counters "r|w|q|b", 4 findings as json list or "", 5 how many findings, 6 how many findings a job keeps
-- Returns {code, state, epoch, to enqueue, queue}: 0 done · 1 stale
local key, attempt = ARGV[1], ARGV[2]
local mine, _, worker, since = holds(key, attempt)
if not mine then return reply(1) end
tally(key, worker, since, 'done')
count(key, ARGV[3])
forget(key)
local i = stage_of(key)
if ARGV[4] ~= '' then
  if call('HSETNX', FINDINGS, key, '') == 1 then
    local total = call('HINCRBY', JOB, 'findings', ARGV[5])
    if total - tonumber(ARGV[5]) < tonumber(ARGV[6]) then call('HSET', FINDINGS, key, ARGV[4]) else call('HDEL', FINDINGS, key) end
  end
end
call('HINCRBY', STAGES, i .. ':done', 1)
if call('HINCRBY', STAGES, i .. ':live', -1) == 0 then close_if_done(i) end
return reply(0, dispatch())
