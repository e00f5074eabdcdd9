-- turn.lua: gives a request its turn within a rate, by the generic cell rate algorithm (ITU-T I.371). A turn that is given is kept
-- for whoever asked, who waits for it: so many who wait are served in the order in which they came, and each asks once.
-- KEYS: 1 the theoretical arrival time of the next request, us; 2 by how many us more than (3) that may lie ahead: who sends to the same
-- endpoint need not do so at the same rate · ARGV: 1 us between two requests, 2 us that requests may come early (the burst), 3 us that a
-- turn may lie ahead at most
-- Returns us until the turn, 0 for now; below 0 there is no turn yet, and it is worth asking again in so many us
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local each, early, ahead = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local due = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now)
local more = math.max(early + each, tonumber(redis.call('GET', KEYS[2]) or '0'))
if due > now + ahead + more then due = now end -- the clock was set back: nobody was given a turn so far ahead
local wait = math.max(0, math.ceil(due - now - early))
if wait > ahead then return ahead - wait end
local ttl = math.ceil((due + each - now) / 1000) + 1000
redis.call('SET', KEYS[1], string.format('%.0f', due + each), 'PX', ttl)
redis.call('SET', KEYS[2], string.format('%.0f', early + each), 'PX', ttl)
return wait
