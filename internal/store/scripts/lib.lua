-- lib.lua: what every script of a job shares. It is put in front of each script, so that a transition stays one call.
--
-- KEYS: 1 the job. Its other keys follow from it and share its hash tag; keys.go says what each of them is. They are put
-- together here, as parsing eleven keys for each call would cost more than most scripts do.
-- Times are ms of Redis' own clock.
local JOB = KEYS[1]
local STAGES, READY, LATER, STEPS, OUT = JOB .. ':stages', JOB .. ':ready:', JOB .. ':later', JOB .. ':steps', JOB .. ':out'
local SAVED, FAILS, DEAD, FINDINGS, EVENTS = JOB .. ':saved', JOB .. ':fails', JOB .. ':dead', JOB .. ':findings', JOB .. ':events'
local call = redis.call

local function now_ms()
  local t = call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end
local NOW = now_ms()

-- int: text of a whole number, without the exponent that Lua would write for large ones.
local function int(n) return string.format('%.0f', n) end

local function event(what, ...)
  call('XADD', EVENTS, 'MAXLEN', '~', 1000, '*', 'type', what, 'at', int(NOW), ...)
end

-- lease: delivery, attempt, worker, since of a step that is out; nil when it is not.
local function lease(key)
  local v = call('HGET', OUT, key)
  if not v then return nil end
  local n, attempt, worker, since = string.match(v, '^(%d+)|([^|]*)|([^|]*)|(%d+)$')
  return tonumber(n), attempt, worker, tonumber(since)
end

-- holds: whether this attempt has the step; the fence of every write that an attempt makes.
local function holds(key, attempt)
  local n, a = lease(key)
  return n ~= nil and a == attempt, n
end

local function ended(state) return state == 'succeeded' or state == 'failed' or state == 'cancelled' end

local function stage_of(key) return string.match(key, '^x?(%d+)') end

-- kept: whether any step of the job has a checkpoint or a failure to remember; most never have, and then one look saves three.
local some
local function kept()
  if some == nil then some = call('EXISTS', SAVED, FAILS) > 0 end
  return some
end

-- count: adds what an attempt has done since its last checkpoint to its stage. total is "r|w|q|b", with "+s" behind it where rows
-- were skipped; absolute for the step.
local COUNTERS = {'read', 'written', 'quarantined', 'bytes', 'skipped'}
local function count(key, total)
  local i = stage_of(key)
  if not i or total == '' then return end
  if total == '0|0|0|0' and not kept() then return end
  local before = {0, 0, 0, 0, ''}
  local saved = kept() and call('HGET', SAVED, key)
  if saved then before = {string.match(saved, '^(%d+)|(%d+)|(%d+)|(%d+)%+?(%d*)|')} end
  local after = {string.match(total, '^(%d+)|(%d+)|(%d+)|(%d+)%+?(%d*)$')}
  for k = 1, 5 do
    local d = (tonumber(after[k]) or 0) - (tonumber(before[k]) or 0)
    if d ~= 0 then call('HINCRBY', STAGES, i .. ':' .. COUNTERS[k], int(d)) end
  end
end

-- forget: nothing is kept of a step that has ended but the counters.
local function forget(key)
  call('HDEL', OUT, key)
  call('HDEL', STEPS, key)
  if kept() then
    call('HDEL', SAVED, key)
    call('HDEL', FAILS, key)
  end
end

-- again: the step is ready at a time, under the next delivery number, so that a task of the old one finds itself superseded.
local function again(key, n, at)
  call('HDEL', OUT, key)
  call('ZADD', LATER, int(at), key .. '|' .. int(n + 1))
end

local function hand_out(list, entry)
  local key, n = string.match(entry, '^(.*)|(%d+)$')
  call('HSET', OUT, key, n .. '|||' .. int(NOW))
  list[#list + 1] = key
  list[#list + 1] = n
end

local function finish(state)
  call('HSET', JOB, 'state', state, 'ended', int(NOW))
  event(state)
end

-- open: lets a stage be split and run; the next dispatch hands out its first split.
local function open(i)
  call('HSET', STAGES, i .. ':state', 'open', i .. ':started', int(NOW))
  local list = call('HGET', JOB, 'open')
  call('HSET', JOB, 'open', (list and list ~= '') and (list .. ',' .. i) or i)
  event('stage_started', 'stage', call('HGET', STAGES, i .. ':name'))
end

-- close: a stage whose split is done and that has no live step is over; opens what waited for it, ends the job if it was the last.
local function close_if_done(i)
  local f = call('HMGET', STAGES, i .. ':state', i .. ':split_done', i .. ':live', i .. ':next', i .. ':name', i .. ':closed', i .. ':splitting')
  if f[1] ~= 'open' or f[2] ~= '1' or tonumber(f[3] or '0') > 0 then return end
  call('HSET', STAGES, i .. ':state', 'done', i .. ':ended', int(NOW), i .. ':closed', 1)
  event('stage_ended', 'stage', f[5])
  local rest = {}
  for s in string.gmatch(call('HGET', JOB, 'open') or '', '[^,]+') do
    if s ~= tostring(i) then rest[#rest + 1] = s end
  end
  call('HSET', JOB, 'open', table.concat(rest, ','))
  if f[6] ~= '1' then
    call('HINCRBY', JOB, 'stages_left', -1)
    for s in string.gmatch(f[4] or '', '[^,]+') do
      if call('HINCRBY', STAGES, s .. ':wait', -1) == 0 then open(s) end
    end
  end
  if #rest == 0 and call('HGET', JOB, 'open') == '' and tonumber(call('HGET', JOB, 'stages_left')) == 0 then finish('succeeded') end
end

-- The job's state, epoch and queue as dispatch has seen them: it is the last that a script does, so reply need not ask again.
local seen

-- dispatch: moves steps from ready to out while fewer than window are out, the job is running and nothing holds it.
-- Returns a flat list: key, delivery, key, delivery, ...
local function dispatch()
  local list = {}
  local j = call('HMGET', JOB, 'state', 'window', 'open', 'epoch', 'queue', 'held')
  seen = {j[1], j[4], j[5]}
  local state, window = j[1], tonumber(j[2])
  if state ~= 'running' and state ~= 'accepted' and state ~= 'planning' or j[6] then return list end
  local room = window - call('HLEN', OUT)
  if room > 0 then
    local due = call('ZRANGEBYSCORE', LATER, '-inf', int(NOW), 'LIMIT', 0, room)
    for _, entry in ipairs(due) do
      call('ZREM', LATER, entry)
      hand_out(list, entry)
      room = room - 1
    end
  end
  if room <= 0 or not j[3] or j[3] == '' then return list end
  for i in string.gmatch(j[3], '[^,]+') do
    if room <= 0 then break end
    local ready = READY .. i
    local f = call('HMGET', STAGES, i .. ':split_done', i .. ':splitting', i .. ':page')
    if f[1] ~= '1' and f[2] ~= '1' and call('LLEN', ready) < window and call('ZCARD', LATER) < 4 * window then
      call('HSET', STAGES, i .. ':splitting', 1)
      hand_out(list, 'x' .. i .. '.' .. (f[3] or '0') .. '|1')
      room = room - 1
    end
    while room > 0 do
      local entry = call('LPOP', ready)
      if not entry then break end
      hand_out(list, entry)
      room = room - 1
    end
  end
  return list
end

-- reply: the code of a script, the state of the job after it, its epoch, what to put on the queue, and on which.
local function reply(code, list)
  local j = seen or call('HMGET', JOB, 'state', 'epoch', 'queue')
  return {code, j[1] or '', tonumber(j[2] or '0'), list or {}, j[3] or ''}
end
