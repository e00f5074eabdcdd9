-- begin.lua: leases steps to a worker, each under a new attempt id. Asked twice by the same attempt (a lost reply) it says yes twice.
-- ARGV: 1 worker, 2 the worker's version, then for each step: key, delivery, epoch, attempt
-- Returns for each step {code, body, saved, failed attempts, extra, born}; extra is the split cursor for a split; born is when the job was written, ms
--   0 leased · 1 gone: ended, superseded by a later delivery, or the job is over · 2 not running, or held: given back · 3 another attempt has it
local worker = ARGV[1]
local j = call('HMGET', JOB, 'state', 'epoch', 'born', 'held')
local state = j[1]
local keys, out = keys_of(3, 4)
local answers, begun, places, fields = {}, {}, {}, {}
for i, key in ipairs(keys) do
  local at = 3 + 4 * (i - 1)
  local attempt = ARGV[at + 3]
  local n, holder = leased(out[key])
  if not state or j[2] ~= ARGV[at + 2] or n == nil or n ~= tonumber(ARGV[at + 1]) then
    answers[i] = {1}
  elseif holder ~= '' and holder ~= attempt then
    answers[i] = {3}
  elseif state ~= 'running' and state ~= 'accepted' and state ~= 'planning' or j[4] then -- what was on the queue when it was held
    again(key, n, 0)
    out[key], answers[i] = nil, {2}
  else
    out[key] = int(n) .. '|' .. attempt .. '|' .. worker .. '|' .. NOW_TEXT
    fields[#fields + 1], fields[#fields + 2] = key, out[key]
    begun[#begun + 1], places[#places + 1] = key, i
    answers[i] = {0, '', '', 0, '', j[3] or ''}
    if n > 1 then begun_again(key, worker) end
    if key == 'p' then
      if state == 'accepted' then
        local first = call('HEXISTS', JOB, 'started') == 0 -- one that was paused while it was planned begins to plan again
        state = 'planning'
        call('HSET', JOB, 'state', state, 'started', NOW_TEXT)
        event('planning', 'worker', worker)
        if first then note('started') end
      end
    elseif string.sub(key, 1, 1) == 'x' then
      answers[i][5] = call('HGET', STAGES, stage_of(key) .. ':cursor') or ''
    end
  end
end
if #begun == 0 then return answers end
call('HSET', OUT, unpack(fields))
enlist(worker, ARGV[2])
for k, body in ipairs(call('HMGET', STEPS, unpack(begun))) do answers[places[k]][2] = body or '' end
if kept() then
  for k, saved in ipairs(call('HMGET', SAVED, unpack(begun))) do answers[places[k]][3] = saved or '' end
  for k, failed in ipairs(call('HMGET', FAILS, unpack(begun))) do answers[places[k]][4] = tonumber(failed or '0') end
end
return answers
