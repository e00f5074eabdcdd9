-- plan_done.lua: ends the planning attempt: writes the stages, opens those that wait for nothing.
-- ARGV: 1 attempt, 2 number of stages, then per stage: name, indexes it waits for ("0,2" or ""), detail, estimated rows
-- Returns {code, state, epoch, to enqueue, queue}: 0 done · 1 stale
local mine, _, worker, since = holds('p', ARGV[1])
if not mine then return reply(1) end
tally('p', worker, since, 'planned')
forget('p')
local n = tonumber(ARGV[2])
call('HSET', JOB, 'stages', n, 'stages_left', n, 'open', '')
local nexts, roots = {}, {}
for i = 0, n - 1 do
  local at = 3 + i * 4
  local waits = 0
  for s in string.gmatch(ARGV[at + 1], '[^,]+') do
    waits = waits + 1
    nexts[s] = (nexts[s] and nexts[s] .. ',' or '') .. i
  end
  call('HSET', STAGES, i .. ':name', ARGV[at], i .. ':after', ARGV[at + 1], i .. ':detail', ARGV[at + 2], i .. ':rows', ARGV[at + 3],
    i .. ':state', 'waiting', i .. ':wait', waits, i .. ':known', 0, i .. ':done', 0, i .. ':failed', 0, i .. ':live', 0, i .. ':page', 0)
  if waits == 0 then roots[#roots + 1] = tostring(i) end
end
for s, list in pairs(nexts) do call('HSET', STAGES, s .. ':next', list) end
if call('HGET', JOB, 'state') ~= 'paused' then call('HSET', JOB, 'state', 'running') end
event('planned', 'stages', n)
open(roots)
if n == 0 then finish('succeeded') end
return reply(0, dispatch())
