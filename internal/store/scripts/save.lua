-- save.lua (checkpoint): saves a cursor and counters if the attempt still holds the step.
-- ARGV: 1 step key, 2 attempt, 3 counters "r|w|q|b", 4 "1" with a new cursor in 5 or "0" to keep the one that is saved
-- Returns 0 saved · 1 stale · 2 saved, and the job is no longer running: give back
local key, attempt = ARGV[1], ARGV[2]
if not holds(key, attempt) then return 1 end
count(key, ARGV[3])
local cursor = ARGV[5]
if ARGV[4] == '0' then
  local saved = call('HGET', SAVED, key)
  cursor = saved and string.match(saved, '^%d+|%d+|%d+|%d+|(.*)$') or ''
end
call('HSET', SAVED, key, ARGV[3] .. '|' .. cursor)
local state = call('HGET', JOB, 'state')
if state ~= 'running' and state ~= 'accepted' and state ~= 'planning' then return 2 end
return 0
