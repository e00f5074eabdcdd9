-- control.lua: pause, resume, cancel, retry, restart of a job; admit lets in what was held.
-- ARGV: 1 verb, 2 who asked, 3 "<epoch>-<state>" that the job must have, or "", 4 of retry and restart: why the job is held, or ""
-- Returns {code, state, epoch, to enqueue, queue}: 0 done · 1 no such job · 2 nothing to do in this state (the state says which)
--   · 3 it has another state or epoch than the caller thinks
local verb, who = ARGV[1], ARGV[2]
local state = call('HGET', JOB, 'state')
if not state then return reply(1) end
if ARGV[3] ~= '' and ARGV[3] ~= call('HGET', JOB, 'epoch') .. '-' .. state then return reply(3) end
local function wipe()
  local n = tonumber(call('HGET', JOB, 'stages') or '0')
  for i = 0, n - 1 do call('DEL', READY .. i) end
  call('DEL', LATER, STEPS, OUT, SAVED, FAILS)
end
if verb == 'pause' then
  if state == 'paused' or ended(state) then return reply(2) end
  call('HSET', JOB, 'state', 'paused')
  note('paused')
elseif verb == 'resume' then
  if state ~= 'paused' then return reply(2) end
  local _, planner = lease('p') -- who was planning goes on: a pause takes nothing away
  call('HSET', JOB, 'state', call('HGET', JOB, 'stages') and 'running' or (planner and planner ~= '') and 'planning' or 'accepted')
  note('resumed')
elseif verb == 'admit' then
  if call('HDEL', JOB, 'held') == 0 then return reply(2) end
elseif verb == 'cancel' then
  if ended(state) then return reply(2) end
  wipe()
  call('HDEL', JOB, 'held')
  call('HSET', JOB, 'ended', int(NOW), 'state', 'cancelled')
  note('cancelled')
elseif verb == 'retry' then
  local dead = call('HGETALL', DEAD)
  if not ended(state) or state == 'cancelled' or #dead == 0 then return reply(2) end
  for k = 1, #dead, 2 do
    local key, d = dead[k], cjson.decode(dead[k + 1])
    call('HDEL', FAILS, key)
    call('ZADD', LATER, 0, key .. '|' .. int(d.delivery + 1))
    local i = stage_of(key)
    if string.find(key, '/', 1, true) then
      call('HINCRBY', STAGES, i .. ':failed', -1)
      if call('HGET', JOB, 'on_failure') == 'skip' then call('HINCRBY', STAGES, i .. ':live', 1) end
      if call('HGET', STAGES, i .. ':state') == 'done' then open(i) end
    end
  end
  call('DEL', DEAD)
  call('HDEL', JOB, 'error', 'hint', 'ended')
  call('HSET', JOB, 'state', call('HGET', JOB, 'stages') and 'running' or 'accepted')
  if ARGV[4] ~= '' then call('HSET', JOB, 'held', ARGV[4]) end
  note('resumed')
elseif verb == 'restart' then
  if not ended(state) then return reply(2) end
  wipe()
  call('DEL', STAGES, DEAD, FINDINGS, TALLY)
  call('HSET', TALLY, 'whole', 1)
  call('HDEL', JOB, 'error', 'hint', 'ended', 'started', 'stages', 'stages_left', 'open', 'findings', 'pace')
  call('HSET', JOB, 'state', 'accepted')
  call('HINCRBY', JOB, 'epoch', 1)
  call('ZADD', LATER, 0, 'p|1')
  if ARGV[4] ~= '' then call('HSET', JOB, 'held', ARGV[4]) end
else
  return redis.error_reply('control: unknown verb ' .. verb)
end
event(verb, 'by', who)
return reply(0, dispatch())
