-- sweep.lua: finds steps that are out without a living worker and gives them back under the next delivery; hands out what is due.
-- ARGV: 1 "1" when the list of living workers may be trusted, 2 the list is as of ms (leases that are younger are left alone; "0":
--   none is), 3 a step is looked at when nobody began it for ms, 4 a lease is looked at when it is older than ms ("0": none is),
--   5 the newest protocol that the caller can read, 6.. ids of living workers
-- Returns {code, state, epoch, to enqueue, queue, lost, unbegun, old, how many notes are in its outbox, line}: 0 done · 1 no such job · 2 a job of a newer protocol: left alone
--   lost: flat list key, worker · unbegun: flat list key, delivery of steps that nobody has begun for that long
--   old: flat list key, attempt, worker, since of leases of living workers
--   line: why it is held, once a minute: who holds it may have died before he put it in line
local j = call('HMGET', JOB, 'state', 'protocol', 'clock', 'held', 'lined')
local state = j[1]
local function nothing(code)
  local r = reply(code)
  r[6], r[7], r[8], r[9], r[10] = {}, {}, {}, call('HLEN', OUTBOX), ''
  return r
end
if not state then return nothing(1) end
if tonumber(j[2] or '0') > tonumber(ARGV[5]) then return nothing(2) end
local living = {}
for k = 6, #ARGV do living[ARGV[k]] = true end
local as_of, old_after = tonumber(ARGV[2]), tonumber(ARGV[4])
local lost, unbegun, old = {}, {}, {}
-- A clock that was set back: what waits by it waits on for as long as it would have, and what is out has just been handed out.
local clock = tonumber(j[3] or '0')
if clock > NOW then
  call('HSET', JOB, 'clock', NOW_TEXT)
  local wait = call('ZRANGEBYSCORE', LATER, '(' .. NOW_TEXT, '+inf', 'WITHSCORES')
  for k = 1, #wait, 2 do call('ZADD', LATER, int(math.max(NOW, tonumber(wait[k + 1]) - clock + NOW)), wait[k]) end
end
if not ended(state) then
  local out = call('HGETALL', OUT)
  for k = 1, #out, 2 do
    local key = out[k]
    local n, attempt, worker, since = string.match(out[k + 1], '^(%d+)|([^|]*)|([^|]*)|(%d+)$')
    if tonumber(since) > NOW then
      since = NOW_TEXT
      call('HSET', OUT, key, n .. '|' .. attempt .. '|' .. worker .. '|' .. since)
    end
    if attempt ~= '' then
      if ARGV[1] == '1' and not living[worker] and (as_of == 0 or tonumber(since) <= as_of) then
        again(key, tonumber(n), 0)
        lost[#lost + 1] = key
        lost[#lost + 1] = worker
        tally(key, worker, tonumber(since), 'lost')
        lose(worker)
        interrupted(key, 'lost', worker)
        event('lost', 'step', key, 'worker', worker, 'attempt', attempt, 'since', since)
      elseif living[worker] and old_after > 0 and NOW - tonumber(since) >= old_after then
        for _, v in ipairs({key, attempt, worker, since}) do old[#old + 1] = v end
      end
    elseif NOW - tonumber(since) >= tonumber(ARGV[3]) then
      unbegun[#unbegun + 1] = key
      unbegun[#unbegun + 1] = n
    end
  end
end
-- trail: notes how many rows the job has read by now, for a chart: "first ms;tenths of a second since then,rows read;...". At most
-- MARKS of them: when there are as many, each second one goes, so that they always span the whole run.
local MARKS = 60
local function trail()
  local job = call('HMGET', JOB, 'pace', 'stages')
  local stages, read = tonumber(job[2] or '0'), 0
  if stages == 0 then return end
  for from = 0, stages - 1, MANY do
    local names = {}
    for i = from, math.min(from + MANY, stages) - 1 do names[#names + 1] = i .. ':read' end
    for _, n in ipairs(call('HMGET', STAGES, unpack(names))) do read = read + tonumber(n or '0') end
  end
  local first, marks, at, last = string.match(job[1] or '', '^(%d+)'), {}, 0, 0
  for mark in string.gmatch(job[1] or '', ';([^;]+)') do
    marks[#marks + 1] = mark
    at, last = string.match(mark, '^(%d+),(%d+)$')
  end
  if not first or read < tonumber(last) then first, marks, at = NOW, {}, 0 end
  local now = math.floor((NOW - tonumber(first)) / 100)
  if #marks > 0 and (now - tonumber(at)) * MARKS / 2 < tonumber(at) then return end
  if #marks >= MARKS then
    local fewer = {}
    for i = 1, #marks, 2 do fewer[#fewer + 1] = marks[i] end
    marks = fewer
  end
  marks[#marks + 1] = int(now) .. ',' .. int(read)
  call('HSET', JOB, 'pace', int(tonumber(first)) .. ';' .. table.concat(marks, ';'))
end
-- sample: smooths how fast each open stage reads, for forecasts: a mean at first, then one of which the last half minute counts most.
-- The time in which nothing may move is left out. "<i>:sample" is "read|ms|rows a second|ms seen".
local function sample()
  local job = call('HMGET', JOB, 'sampled', 'open', 'held')
  local ago = NOW - tonumber(job[1] or '0')
  if ago >= 0 and ago < 2000 then return end
  call('HSET', JOB, 'sampled', int(NOW))
  local moving = state == 'running' and not job[3]
  if moving then trail() end
  for i in string.gmatch(job[2] or '', '[^,]+') do
    local s = call('HMGET', STAGES, i .. ':read', i .. ':sample')
    local read = tonumber(s[1] or '0')
    local r0, t0, rate, seen = string.match(s[2] or '', '^(%d+)|(%d+)|([%d.]+)|(%d+)$')
    rate, seen = tonumber(rate or '0'), tonumber(seen or '0')
    if moving and r0 and NOW > tonumber(t0) then
      local took = NOW - tonumber(t0)
      seen = seen + took
      local weight = math.max(1 - math.exp(-took / 30000), took / seen)
      rate = rate + weight * (math.max(0, read - tonumber(r0)) * 1000 / took - rate)
    end
    call('HSET', STAGES, i .. ':sample', int(read) .. '|' .. int(NOW) .. '|' .. string.format('%.3f', rate) .. '|' .. int(seen))
  end
end
if not ended(state) then sample() end
local line = ''
if j[4] and not ended(state) and math.abs(NOW - tonumber(j[5] or '0')) >= 60000 then
  line = j[4]
  call('HSET', JOB, 'lined', NOW_TEXT)
end
local r = reply(0, dispatch())
r[6], r[7], r[8], r[9], r[10] = lost, unbegun, old, call('HLEN', OUTBOX), line
return r
