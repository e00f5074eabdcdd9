-- begin.lua: leases a step to a worker under a new attempt id. Asked twice by the same attempt (a lost reply) it says yes twice.
-- ARGV: 1 step key, 2 delivery, 3 epoch, 4 attempt, 5 worker, 6 the worker's version
-- Returns {code, body, saved, failed attempts, extra, born}; extra is the split cursor for a split; born is when the job was written, ms
--   0 leased · 1 gone: ended, superseded by a later delivery, or the job is over · 2 not running: given back · 3 another attempt has it
local key, delivery, epoch, attempt, worker = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5]
local j = call('HMGET', JOB, 'state', 'epoch', 'born')
if not j[1] or j[2] ~= epoch then return {1} end
local n, holder = lease(key)
if n == nil or n ~= delivery then return {1} end
if holder ~= '' and holder ~= attempt then return {3} end
local state = j[1]
if state ~= 'running' and state ~= 'accepted' and state ~= 'planning' then
  again(key, n, 0)
  return {2}
end
call('HSET', OUT, key, int(n) .. '|' .. attempt .. '|' .. worker .. '|' .. int(NOW))
enlist(worker, ARGV[6])
if n > 1 then begun_again(key, worker) end
local extra = ''
if key == 'p' then
  if state == 'accepted' then
    local first = call('HEXISTS', JOB, 'started') == 0 -- one that was paused while it was planned begins to plan again
    call('HSET', JOB, 'state', 'planning', 'started', int(NOW))
    event('planning', 'worker', worker)
    if first then note('started') end
  end
elseif string.sub(key, 1, 1) == 'x' then
  extra = call('HGET', STAGES, stage_of(key) .. ':cursor') or ''
end
local saved, failed = '', 0
if kept() then
  saved, failed = call('HGET', SAVED, key) or '', tonumber(call('HGET', FAILS, key) or '0')
end
return {0, call('HGET', STEPS, key) or '', saved, failed, extra, j[3] or ''}
