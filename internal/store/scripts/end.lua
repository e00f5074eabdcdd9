-- end.lua: steps are over: counts their stages down, opens the stages that waited for them, and hands out what comes next.
-- ARGV: 1 how many findings a job keeps, then for each step: key, attempt, counters "r|w|q|b", findings as json list or "", how many findings
-- Returns {code, state, epoch, to enqueue, queue, codes}; a code of each step: 0 done · 1 stale. The first is 0 when any is done
local keys, out = keys_of(2, 5)
local codes, over, stages, workers = {}, {}, {}, {}
-- add: counts an attempt to its stage or its worker; both are lists in the order in which they come, and found by name.
local function add(list, name, busy)
  if not list[name] then
    list[name] = {name = name, n = 0, busy = 0}
    list[#list + 1] = list[name]
  end
  list[name].n, list[name].busy = list[name].n + 1, list[name].busy + busy
end
for i, key in ipairs(keys) do
  local at = 2 + 5 * (i - 1)
  local _, attempt, worker, since = leased(out[key])
  codes[i] = 1
  if attempt == ARGV[at + 1] then
    codes[i], out[key] = 0, nil
    over[#over + 1] = key
    add(stages, 's' .. stage_of(key), math.max(NOW - since, 0))
    add(workers, 'w' .. worker, math.max(NOW - since, 0))
    count(key, ARGV[at + 2])
    local list, found = ARGV[at + 3], ARGV[at + 4]
    if list ~= '' and call('HSETNX', FINDINGS, key, '') == 1 then
      local total = call('HINCRBY', JOB, 'findings', found)
      if total - tonumber(found) < tonumber(ARGV[1]) then call('HSET', FINDINGS, key, list) else call('HDEL', FINDINGS, key) end
    end
  end
end
if #over == 0 then
  local r = reply(1)
  r[6] = codes
  return r
end
for _, w in ipairs(workers) do credit(string.sub(w.name, 2), 'done', w.n, w.busy) end
forget(unpack(over))
for _, s in ipairs(stages) do
  local i = string.sub(s.name, 2)
  call('HINCRBY', STAGES, i .. ':busy', int(s.busy))
  call('HINCRBY', STAGES, i .. ':done', s.n)
  if call('HINCRBY', STAGES, i .. ':live', -s.n) == 0 then close_if_done(i) end
end
local r = reply(0, dispatch())
r[6] = codes
return r
