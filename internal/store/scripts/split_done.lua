-- split_done.lua: ends a split attempt: appends its page of steps and moves the split cursor. Fenced, so a page is added once.
-- ARGV: 1 step key "x<i>.<page>", 2 attempt, 3 next cursor, 4 "1" when the stage has no further page, then per step: id, body
-- Returns {code, state, epoch, to enqueue, queue}: 0 done · 1 stale
local key, attempt = ARGV[1], ARGV[2]
local mine, _, worker, since = holds(key, attempt)
if not mine then return reply(1) end
tally(key, worker, since, 'planned')
forget(key)
local i = stage_of(key)
local added = 0
for at = 5, #ARGV, 2 do
  local step = i .. '/' .. ARGV[at]
  if call('HSETNX', STEPS, step, ARGV[at + 1]) == 1 then
    call('RPUSH', READY .. i, step .. '|1')
    added = added + 1
  end
end
if added > 0 then
  call('HINCRBY', STAGES, i .. ':known', added)
  call('HINCRBY', STAGES, i .. ':live', added)
end
call('HINCRBY', STAGES, i .. ':page', 1)
call('HSET', STAGES, i .. ':cursor', ARGV[3], i .. ':split_done', ARGV[4], i .. ':splitting', 0)
close_if_done(i)
return reply(0, dispatch())
