-- lib.lua: what scripts of a job share. What a script uses of it is put in front of the script (assemble.go), so that a transition
-- stays one call. Each statement begins with "local" at the margin, and uses only what stands above it.
--
-- KEYS: 1 the job. Its other keys follow from it and share its hash tag; keys.go says what each of them is. They are put
-- together here, as parsing eleven keys for each call would cost more than most scripts do.
-- Times are ms of Redis' own clock.
local JOB = KEYS[1]
local STAGES = JOB .. ':stages'
local READY = JOB .. ':ready:'
local LATER = JOB .. ':later'
local STEPS = JOB .. ':steps'
local OUT = JOB .. ':out'
local SAVED = JOB .. ':saved'
local FAILS = JOB .. ':fails'
local DEAD = JOB .. ':dead'
local FINDINGS = JOB .. ':findings'
local EVENTS = JOB .. ':events'
local TALLY = JOB .. ':tally'
local OUTBOX = JOB .. ':outbox'
local call = redis.call

-- now_ms puts the seconds and the first three of six digits of the rest together, as text: most that is kept of a time is text.
local function now_ms()
  local t = call('TIME')
  return t[1] .. string.sub('00000' .. t[2], -6, -4)
end
local NOW_TEXT = now_ms()
local NOW = tonumber(NOW_TEXT)

-- int: text of a whole number, without the exponent that Lua would write for large ones.
local function int(n) return string.format('%.0f', n) end

local function event(what, ...)
  call('HINCRBY', JOB, 'events', 1)
  call('XADD', EVENTS, 'MAXLEN', '~', 1000, '*', 'type', what, 'at', NOW_TEXT, ...)
end

-- leased: delivery, attempt, worker, since of a step by what stands of it in OUT; nil when it is not out.
local function leased(v)
  if not v then return nil end
  local n, attempt, worker, since = string.match(v, '^(%d+)|([^|]*)|([^|]*)|(%d+)$')
  return tonumber(n), attempt, worker, tonumber(since)
end

-- lease: the same of a step by its key.
local function lease(key) return leased(call('HGET', OUT, key)) end

-- keys_of: the keys of the steps that a script is called for, and what stands of them in OUT, by key. The arguments of the steps begin
-- with the one of that number; each step has so many, its key first.
local function keys_of(first, each)
  local keys = {}
  for k = first, #ARGV, each do keys[#keys + 1] = ARGV[k] end
  local out = {}
  for i, v in ipairs(call('HMGET', OUT, unpack(keys))) do out[keys[i]] = v end
  return keys, out
end

-- holds: whether this attempt has the step; the fence of every write that an attempt makes. Then its delivery, worker and since.
local function holds(key, attempt)
  local n, a, worker, since = lease(key)
  return n ~= nil and a == attempt, n, worker, since
end

local function ended(state) return state == 'succeeded' or state == 'failed' or state == 'cancelled' end

local function stage_of(key) return string.match(key, '^x?(%d+)') end

-- The tally is what a report needs when the event stream, which is capped, has long lost it: what came of attempts by worker, why
-- steps were tried again, drains, lost workers. Each of its lists is bounded; what does not fit is counted. keys.go has its fields.
local MOST = 200

-- room_for: whether one more may be added to a list of the tally.
local function room_for(list) return call('HINCRBY', TALLY, list, 1) <= MOST end

-- enlist: gives a worker its line. The first MOST have one of their own; the others share a line without a name.
local function enlist(worker, version)
  if call('HEXISTS', TALLY, 'w:' .. worker) == 1 then return end
  version = version or ''
  if version ~= '' and call('HEXISTS', TALLY, 'v:' .. version) == 0 and room_for('versions') then call('HSET', TALLY, 'v:' .. version, 1) end
  if tonumber(call('HGET', TALLY, 'workers') or '0') < MOST then
    call('HINCRBY', TALLY, 'workers', 1)
    call('HSET', TALLY, 'w:' .. worker, '0|0|0|0|0|0|0|' .. NOW_TEXT .. '|' .. NOW_TEXT .. '|' .. version)
  end
end

-- credit: notes for a worker what came of so many of its attempts, and how long they took together.
local FATES = {done = 1, planned = 2, given_back = 3, failed = 4, lost = 5, revoked = 6}
local function credit(worker, fate, attempts, busy)
  local field = 'w:' .. worker
  local line = call('HGET', TALLY, field)
  if not line then
    enlist(worker)
    line = call('HGET', TALLY, field)
  end
  if not line then
    field = 'w:'
    line = call('HGET', TALLY, field) or ('0|0|0|0|0|0|0|' .. NOW_TEXT .. '|' .. NOW_TEXT .. '|')
  end
  local f = {string.match(line, '^(%d+)|(%d+)|(%d+)|(%d+)|(%d+)|(%d+)|(%d+)|(%d+)|(%d+)|(.*)$')}
  local at = FATES[fate]
  f[at], f[7], f[9] = int(f[at] + attempts), int(f[7] + busy), NOW_TEXT
  call('HSET', TALLY, field, table.concat(f, '|'))
end

-- tally: notes what came of an attempt that has not ended its step, for its worker and its stage. end.lua does it for those that have.
local function tally(key, worker, since, fate)
  local i, busy = stage_of(key), math.max(NOW - since, 0)
  if i then
    call('HINCRBY', STAGES, i .. ':busy', int(busy))
    call('HINCRBY', STAGES, i .. ':n_' .. fate, 1)
  end
  credit(worker, fate, 1, busy)
end

-- because: counts why attempts did not end well.
local function because(fate, reason)
  local field = 'r:' .. fate .. '|' .. string.sub(reason, 1, 200)
  if call('HEXISTS', TALLY, field) == 0 and not room_for('reasons') then field = 'r:' .. fate .. '|' end
  call('HINCRBY', TALLY, field, 1)
end

-- interrupted: marks a step that was taken away in the middle, so that it is told when it runs again.
local function interrupted(key, why, worker) call('HSET', TALLY, 'a:' .. key, NOW_TEXT .. '|' .. why .. '|' .. worker) end

-- lose: notes that a worker was given up while it had a step.
local function lose(worker)
  local field = 'l:' .. worker
  local line = call('HGET', TALLY, field)
  if not line then
    if not room_for('losses') then return end
    line = NOW_TEXT .. '|0|0|0'
  end
  local noticed, steps, again, last = string.match(line, '^(%d+)|(%d+)|(%d+)|(%d+)$')
  call('HSET', TALLY, field, noticed .. '|' .. int(steps + 1) .. '|' .. again .. '|' .. last)
end

-- begun_again: tells that a step which was taken away runs again, if it was.
local function begun_again(key, worker)
  local mark = call('HGET', TALLY, 'a:' .. key)
  if not mark then return end
  call('HDEL', TALLY, 'a:' .. key)
  local at, why, from = string.match(mark, '^(%d+)|([^|]*)|(.*)$')
  event('begun_again', 'step', key, 'worker', worker, 'after', why, 'from', from, 'waited_ms', int(NOW - at))
  local line = why == 'lost' and call('HGET', TALLY, 'l:' .. from)
  if line then
    local noticed, steps, again = string.match(line, '^(%d+)|(%d+)|(%d+)|')
    call('HSET', TALLY, 'l:' .. from, noticed .. '|' .. steps .. '|' .. int(again + 1) .. '|' .. NOW_TEXT)
  end
end

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

-- forget: nothing is kept of steps that have ended but the counters.
local function forget(...)
  call('HDEL', OUT, ...)
  call('HDEL', STEPS, ...)
  if kept() then
    call('HDEL', SAVED, ...)
    call('HDEL', FAILS, ...)
  end
end

-- again: the step is ready after so many ms, under the next delivery number, so that a task of the old one finds itself superseded. One
-- that need not wait has no time: when Redis' clock is set back it would wait for what has been already. For the same reason the job
-- knows by which clock others wait; the sweep looks at it.
local function again(key, n, wait)
  call('HDEL', OUT, key)
  if wait > 0 and NOW > tonumber(call('HGET', JOB, 'clock') or '0') then call('HSET', JOB, 'clock', NOW_TEXT) end
  call('ZADD', LATER, wait > 0 and int(NOW + wait) or 0, key .. '|' .. int(n + 1))
end

-- MANY is how many entries a command is given at most: Lua puts its arguments on a stack of some thousands.
local MANY = 1000

-- hand_out: appends entries "key|delivery" to a flat list key, delivery, and writes them to OUT.
local function hand_out(list, entries)
  local fields = {}
  for _, entry in ipairs(entries) do
    local key, n = string.match(entry, '^(.*)|(%d+)$')
    fields[#fields + 1] = key
    fields[#fields + 1] = n .. '|||' .. NOW_TEXT
    list[#list + 1] = key
    list[#list + 1] = n
  end
  if #fields > 0 then call('HSET', OUT, unpack(fields)) end
  return #entries
end

-- pop: takes so many entries from the head of a list, as many as there are.
local function pop(list, n)
  if n == 1 then return {call('LPOP', list) or nil} end
  local entries = call('LRANGE', list, 0, n - 1)
  if #entries > 0 then call('LTRIM', list, #entries, -1) end
  return entries
end

-- note: puts what has just become of the job into its outbox, by the very call that moves it, so that no crash can come between.
-- It holds all that a message says: the job may have moved on, or be gone, when somebody takes it out.
local function note(what)
  local j = call('HMGET', JOB, 'epoch', 'state', 'error', 'hint', 'started', 'ended', 'about', 'born', 'stages')
  local sum = {}
  local function add(name, n) sum[name] = (sum[name] or 0) + tonumber(n or '0') end
  for i = -1, tonumber(j[9] or '0') - 1 do -- no stage has -1: so each counter is there, and the table is never taken for a list
    for _, name in ipairs({'known', 'done', 'failed'}) do add('steps_' .. name, call('HGET', STAGES, i .. ':' .. name)) end
    for _, name in ipairs(COUNTERS) do add(name == 'bytes' and name or 'rows_' .. name, call('HGET', STAGES, i .. ':' .. name)) end
  end
  for name, n in pairs(sum) do sum[name] = int(n) end
  local seq = int(call('HINCRBY', JOB, 'notes', 1))
  call('HSET', OUTBOX, seq, cjson.encode({event = what, epoch = j[1] or '0', state = j[2] or '', error = j[3] or '', hint = j[4] or '',
    started = j[5] or '', ended = j[6] or '', about = j[7] or '', born = j[8] or '', at = NOW_TEXT, sums = sum}))
end

local function finish(state)
  call('HSET', JOB, 'state', state, 'ended', NOW_TEXT)
  call('HDEL', JOB, 'held')
  event(state)
  note(state)
end

-- open: lets stages be split and run; the next dispatch hands out their first splits.
local function open(stages)
  if #stages == 0 then return end
  for _, i in ipairs(stages) do
    call('HSET', STAGES, i .. ':state', 'open', i .. ':started', NOW_TEXT)
    event('stage_started', 'stage', call('HGET', STAGES, i .. ':name'))
  end
  local list = call('HGET', JOB, 'open')
  call('HSET', JOB, 'open', ((list and list ~= '') and list .. ',' or '') .. table.concat(stages, ','))
end

-- close: a stage whose split is done and that has no live step is over; opens what waited for it, ends the job if it was the last.
local function close_if_done(i)
  local f = call('HMGET', STAGES, i .. ':state', i .. ':split_done', i .. ':live', i .. ':next', i .. ':name', i .. ':closed', i .. ':splitting')
  if f[1] ~= 'open' or f[2] ~= '1' or tonumber(f[3] or '0') > 0 then return end
  call('HSET', STAGES, i .. ':state', 'done', i .. ':ended', NOW_TEXT, i .. ':closed', 1)
  event('stage_ended', 'stage', f[5])
  local rest = {}
  for s in string.gmatch(call('HGET', JOB, 'open') or '', '[^,]+') do
    if s ~= tostring(i) then rest[#rest + 1] = s end
  end
  call('HSET', JOB, 'open', table.concat(rest, ','))
  if f[6] ~= '1' then
    call('HINCRBY', JOB, 'stages_left', -1)
    local free = {}
    for s in string.gmatch(f[4] or '', '[^,]+') do
      if call('HINCRBY', STAGES, s .. ':wait', -1) == 0 then free[#free + 1] = s end
    end
    open(free)
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
  while room > 0 do
    local due = call('ZRANGEBYSCORE', LATER, '-inf', NOW_TEXT, 'LIMIT', 0, math.min(room, MANY))
    if #due == 0 then break end
    call('ZREM', LATER, unpack(due))
    room = room - hand_out(list, due)
  end
  if room <= 0 or not j[3] or j[3] == '' then return list end
  for i in string.gmatch(j[3], '[^,]+') do
    if room <= 0 then break end
    local ready = READY .. i
    local f = call('HMGET', STAGES, i .. ':split_done', i .. ':splitting', i .. ':page')
    if f[1] ~= '1' and f[2] ~= '1' and call('LLEN', ready) < window and call('ZCARD', LATER) < 4 * window then
      call('HSET', STAGES, i .. ':splitting', 1)
      room = room - hand_out(list, {'x' .. i .. '.' .. (f[3] or '0') .. '|1'})
    end
    while room > 0 do
      local handed = hand_out(list, pop(ready, math.min(room, MANY)))
      if handed == 0 then break end
      room = room - handed
    end
  end
  return list
end

-- reply: the code of a script, the state of the job after it, its epoch, what to put on the queue, and on which.
local function reply(code, list)
  local j = seen or call('HMGET', JOB, 'state', 'epoch', 'queue')
  return {code, j[1] or '', tonumber(j[2] or '0'), list or {}, j[3] or ''}
end
