-- give_back.lua: an attempt returns its step: drained, or the other side asked for patience. Not a failure.
-- ARGV: 1 step key, 2 attempt, 3 counters "r|w|q|b" or "", 4 ready again after ms, 5 reason ("": nobody is told), 6 worker
-- Returns {code, state, epoch, to enqueue, queue}: 0 done · 1 stale
local key, attempt = ARGV[1], ARGV[2]
local mine, n, worker, since = holds(key, attempt)
if not mine then return reply(1) end
if ARGV[3] ~= '' then
  count(key, ARGV[3])
  local saved = call('HGET', SAVED, key)
  call('HSET', SAVED, key, ARGV[3] .. '|' .. (saved and string.match(saved, '^%d+|%d+|%d+|%d+|(.*)$') or ''))
end
again(key, n, tonumber(ARGV[4]))
if ARGV[5] ~= '' then
  tally(key, worker, since, 'given_back')
  because('given_back', ARGV[5])
  if ARGV[5] == 'drained' or ARGV[5] == 'cut' then interrupted(key, ARGV[5], worker) end
  event('given_back', 'step', key, 'reason', ARGV[5], 'worker', ARGV[6])
end
return reply(0, dispatch())
