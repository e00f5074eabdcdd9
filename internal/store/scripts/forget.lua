-- forget.lua: removes a job that has ended, and all that is kept of it, in one go: nobody begins it anew in between. What webhooks have yet
-- to be told of it stays for a while.
-- ARGV: 1 the state that it must have, or "" when any end will do, 2 how long ago it must have ended, ms, 3 how long what is untold stays, ms
-- Returns {code, created ms}: 0 done · 1 no such job · 2 it has not ended, in that way, or not so long ago: left alone
local j = call('HMGET', JOB, 'state', 'ended', 'created', 'stages')
if not j[1] then return {1, '0'} end
if not ended(j[1]) or ARGV[1] ~= '' and j[1] ~= ARGV[1] then return {2, j[3]} end
if NOW - tonumber(j[2] or j[3]) < tonumber(ARGV[2]) then return {2, j[3]} end
for i = 0, tonumber(j[4] or '0') - 1 do call('UNLINK', READY .. i) end
call('UNLINK', JOB, STAGES, LATER, STEPS, OUT, SAVED, FAILS, DEAD, FINDINGS, EVENTS, TALLY, JOB .. ':about')
call('PEXPIRE', OUTBOX, ARGV[3])
return {0, j[3]}
