-- settle.lua: what becomes of a message under a lease.
-- KEYS: 1 the message, 2 due of its channel, 3 channels
-- ARGV: 1 token of the lease, 2 id, 3 what: begin (it is being sent now; the lease lasts ARGV[4] longer), again (it is to be sent at
--   ARGV[4]), gone (it is settled), 4 ms, 5 the channel
-- Returns 1; 0 when the lease is somebody else's.
-- The field sending holds the lease under which it was begun: who puts it off without having begun does not know what came of the one
-- who had, and leaves that as it was.
local call = redis.call
if call('HGET', KEYS[1], 'lease') ~= ARGV[1] then return 0 end
if ARGV[3] == 'begin' then
  call('HSET', KEYS[1], 'sending', ARGV[1])
  call('HINCRBY', KEYS[1], 'tries', 1)
  call('ZINCRBY', KEYS[2], ARGV[4], ARGV[2])
elseif ARGV[3] == 'again' then
  if call('HGET', KEYS[1], 'sending') == ARGV[1] then call('HDEL', KEYS[1], 'sending') end
  call('HDEL', KEYS[1], 'lease')
  call('ZADD', KEYS[2], ARGV[4], ARGV[2])
else
  call('DEL', KEYS[1])
  call('ZREM', KEYS[2], ARGV[2])
end
local first = call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')
if first[2] then call('ZADD', KEYS[3], first[2], ARGV[5]) else call('ZREM', KEYS[3], ARGV[5]) end
return 1
