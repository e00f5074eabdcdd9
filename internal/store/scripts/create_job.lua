-- create_job.lua: writes a job once, and hands out its planning.
-- ARGV: 1 job json, 2 window, 3 sum of what was asked (hex), 4 created ms, 5 retries, 6 on_failure, 7 full name of its queue,
--   8 its protocol, 9 why it is held ("" when nothing holds it), 10 who asked for it ("" when nobody knows),
--   11 json of what messages say about it, 12 its kind (a job of a build before it has no such field)
-- Returns {code, state, epoch, to enqueue, queue}: 1 created · 0 it was there already, asked for the same · 2 there, but asked for something else
local sum = call('HGET', JOB, 'sum')
if sum then
  if sum ~= ARGV[3] then return reply(2) end
  return reply(0, dispatch())
end
call('HSET', JOB, 'json', ARGV[1], 'state', 'accepted', 'window', ARGV[2], 'sum', ARGV[3], 'created', ARGV[4],
  'retries', ARGV[5], 'on_failure', ARGV[6], 'epoch', 1, 'born', int(NOW), 'notes', int(NOW * 1000), 'queue', ARGV[7], 'protocol', ARGV[8], 'about', ARGV[11], 'kind', ARGV[12])
if ARGV[9] ~= '' then call('HSET', JOB, 'held', ARGV[9]) end
if ARGV[10] ~= '' then call('HSET', JOB, 'by', ARGV[10]) end
call('HSET', TALLY, 'whole', 1)
call('PERSIST', OUTBOX) -- what is there yet of a job of this id that was forgotten
call('ZADD', LATER, 0, 'p|1')
event('accepted', 'held', ARGV[9], 'by', ARGV[10])
return reply(1, dispatch())
