-- control.lua: pause, resume, cancel, retry, restart of a job; admit lets in what was held.
-- ARGV: 1 verb, 2 who asked, 3 "<epoch>-<state>" that the job must have, or "", 4 of retry and restart: why the job is held, or "",
--   5 a name of this wish: who asks again because the answer was lost is told that it is done, 6 of retry: where to go on, "0" at first
-- Returns {code, state, epoch, to enqueue, queue, where to go on}: 0 done · 1 no such job · 2 nothing to do in this state (the state
--   says which) · 3 it has another state or epoch than the caller thinks · 4 not done yet: ask again, with where to go on
local verb, who = ARGV[1], ARGV[2]
local j = call('HMGET', JOB, 'state', 'epoch', 'asked')
local state = j[1]
if not state then return reply(1) end
if j[3] == ARGV[5] then return reply(0, dispatch()) end
if ARGV[3] ~= '' and ARGV[3] ~= j[2] .. '-' .. state then return reply(3) end
local function hold(why)
  if why ~= '' then call('HSET', JOB, 'held', why) else call('HDEL', JOB, 'held') end
end
local function wipe()
  local n = tonumber(call('HGET', JOB, 'stages') or '0')
  for i = 0, n - 1 do call('UNLINK', READY .. i) end
  call('UNLINK', LATER, STEPS, OUT, SAVED, FAILS)
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
  if not ended(state) or state == 'cancelled' or call('HLEN', DEAD) == 0 then return reply(2) end
  -- A page of them, as there may be a million. What is kept of the job stays as it ended until all of them are ready, so whoever dies in
  -- between is asked again. When one more has failed meanwhile, or another wish was granted, the pages begin anew.
  local stamp = call('HLEN', DEAD) .. '|' .. (j[3] or '')
  local at, of = string.match(ARGV[6], '^(%d+)|(.*)$')
  local page = call('HSCAN', DEAD, of == stamp and at or '0', 'COUNT', MANY)
  for k = 1, #page[2], 2 do
    local key = page[2][k]
    call('HDEL', FAILS, key)
    call('ZADD', LATER, 0, key .. '|' .. int(cjson.decode(page[2][k + 1]).delivery + 1))
  end
  if page[1] ~= '0' then
    local r = reply(4)
    r[6] = page[1] .. '|' .. stamp
    return r
  end
  local skips, shut = call('HGET', JOB, 'on_failure') == 'skip', {}
  for i = 0, tonumber(call('HGET', JOB, 'stages') or '0') - 1 do
    local f = call('HMGET', STAGES, i .. ':failed', i .. ':state')
    local n = tonumber(f[1] or '0')
    if n > 0 then
      call('HSET', STAGES, i .. ':failed', 0)
      if skips then call('HINCRBY', STAGES, i .. ':live', n) end
      if f[2] == 'done' then
        call('HSET', STAGES, i .. ':state', 'open')
        shut[#shut + 1] = i
      end
    end
  end
  open(shut)
  call('UNLINK', DEAD)
  call('HDEL', JOB, 'error', 'hint', 'ended')
  call('HSET', JOB, 'state', call('HGET', JOB, 'stages') and 'running' or 'accepted')
  hold(ARGV[4])
  note('resumed')
elseif verb == 'restart' then
  if not ended(state) then return reply(2) end
  wipe()
  call('UNLINK', STAGES, DEAD, FINDINGS, TALLY)
  call('HSET', TALLY, 'whole', 1)
  call('HDEL', JOB, 'error', 'hint', 'ended', 'started', 'stages', 'stages_left', 'open', 'findings', 'pace')
  call('HSET', JOB, 'state', 'accepted')
  call('HINCRBY', JOB, 'epoch', 1)
  call('ZADD', LATER, 0, 'p|1')
  hold(ARGV[4])
else
  return redis.error_reply('control: unknown verb ' .. verb)
end
call('HSET', JOB, 'asked', ARGV[5])
event(verb, 'by', who)
return reply(0, dispatch())
