-- sweep.lua: finds steps that are out without a living worker and gives them back under the next delivery; hands out what is due.
-- ARGV: 1 "1" when the list of living workers may be trusted, 2 a step is looked at when nobody began it for ms, 3.. ids of living workers
-- Returns {code, state, epoch, to enqueue, lost, unbegun}: 0 done · 1 no such job
--   lost: flat list key, worker · unbegun: flat list key, delivery of steps that nobody has begun for that long
local state = call('HGET', JOB, 'state')
if not state then return {1, '', 0, {}, {}, {}} end
local living = {}
for k = 3, #ARGV do living[ARGV[k]] = true end
local lost, unbegun = {}, {}
if not ended(state) then
  local out = call('HGETALL', OUT)
  for k = 1, #out, 2 do
    local key = out[k]
    local n, attempt, worker, since = string.match(out[k + 1], '^(%d+)|([^|]*)|([^|]*)|(%d+)$')
    if attempt ~= '' then
      if ARGV[1] == '1' and not living[worker] then
        again(key, tonumber(n), NOW)
        lost[#lost + 1] = key
        lost[#lost + 1] = worker
        event('lost', 'step', key, 'worker', worker)
      end
    elseif NOW - tonumber(since) >= tonumber(ARGV[2]) then
      unbegun[#unbegun + 1] = key
      unbegun[#unbegun + 1] = n
    end
  end
end
local r = reply(0, dispatch())
r[5], r[6] = lost, unbegun
return r
