-- unlist.lua: takes a job out of an index, unless it was created anew since.
-- KEYS: 1 the index, a sorted set of job ids by when they were created
-- ARGV: 1 the job's id, 2 when the one that is gone was created, ms
-- Returns how many were taken out.
if tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or '-1') ~= tonumber(ARGV[2]) then return 0 end
return redis.call('ZREM', KEYS[1], ARGV[1])
