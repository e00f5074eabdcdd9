-- drain.lua: notes that a worker which holds steps of the job drains, and later what came of that. Said twice it is noted once.
-- ARGV: 1 worker, 2 id of the drain, 3 "asked", "safe" (it holds nothing any more) or "undone" (it was taken back before), 4 who asked
--   ("" when nobody knows), 5 why: process, request or fence, 6 ms from then to this, 7 steps held then, 8 given back since,
--   9 ended since, 10 cut of those given back
-- Returns 0 noted · 1 no such job, or it was over before
local state = call('HGET', JOB, 'state')
local field = 'd:' .. ARGV[1] .. '|' .. ARGV[2]
local before = call('HGET', TALLY, field)
if not state or ended(state) and not before then return 1 end
local at = NOW - tonumber(ARGV[6])
local line = before and cjson.decode(before) or {worker = ARGV[1], by = ARGV[4], why = ARGV[5], asked = at, held = tonumber(ARGV[7])}
if before and (ARGV[3] == 'asked' or line.phase == ARGV[3]) then return 0 end
line.phase, line.given_back, line.ended, line.cut = ARGV[3], tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
if ARGV[3] ~= 'asked' then line.over = line.asked + tonumber(ARGV[6]) end
-- What came of it finds room only where its beginning did, or was never heard of while there was room.
local room = before or ARGV[3] == 'asked' and room_for('drains') or tonumber(call('HGET', TALLY, 'drains') or '0') < MOST and room_for('drains')
if room then call('HSET', TALLY, field, cjson.encode(line)) end
if ARGV[3] == 'asked' then
  event('worker_draining', 'worker', ARGV[1], 'by', ARGV[4], 'why', ARGV[5], 'held', ARGV[7])
else
  event(ARGV[3] == 'safe' and 'worker_drained' or 'worker_undrained', 'worker', ARGV[1], 'given_back', ARGV[8], 'ended', ARGV[9], 'took_ms', ARGV[6])
end
return 0
