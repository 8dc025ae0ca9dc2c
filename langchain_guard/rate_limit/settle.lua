-- Corrects what a call was charged by what it used, and ends its lease; see decide.lua for what is stored.
--
-- KEYS     per subject its hash and, if it has a limit on running calls, their set
-- ARGV     numbers, packed as in decide.lua: subjects; then per subject its windows, most leases (-1: no limit), time to
--          keep; then per window the slot charged (-1: none), excess (used minus charged), period, quantum
--          name of the lease to end ("": none)
--          field of each window
local call, read, pack, sub, max = redis.call, struct.unpack, struct.pack, string.sub, math.max
local numbers, lease = ARGV[1], ARGV[2]
local t = call('TIME')
local now = t[1] * 1000000 + t[2]
local at, field, key = 9, 2, 1
for s = 1, (read('<d', numbers)) do
  local count, most, keep = read('<ddd', numbers, at)
  local hash = KEYS[key]
  at, key = at + 24, key + 1
  local changes, owes = {}, false
  for w = 1, count do
    local slot, excess, period, quantum = read('<dddd', numbers, at)
    at, field = at + 32, field + 1
    if excess ~= 0 then
      local log, gone = call('HGET', hash, ARGV[field]), now - period
      local sum, newest, opened, latest, used, lives, older = 0, now, 0, 0, 0, 0, ''
      if log then
        sum, newest, opened, latest, used, lives = read('<dddddd', log)
        older = sub(log, 49)
      end
      local place, last, charged = #older - 16 * (newest - slot) + 1, 0, 0
      if slot >= 0 and slot < newest and place > 0 then last, charged = read('<dd', older, place) end
      if slot == newest and latest > gone then
        excess = max(excess, -used)
        used = used + excess
      elseif last > gone then
        excess = max(excess, -charged)
        older = sub(older, 1, place - 1) .. pack('<dd', last, charged + excess) .. sub(older, place + 16)
      elseif excess > 0 then  -- the slot has aged out, or nothing was charged: a debt that later calls wait for
        owes = true
        if now - opened < quantum then
          latest, used = max(now, latest), used + excess
        else
          if log then older = older .. pack('<dd', latest, used) end
          newest, opened, latest, used = newest + 1, now, now, excess
        end
      else
        excess = 0
      end
      if excess ~= 0 then
        changes[#changes + 1] = ARGV[field]
        changes[#changes + 1] = pack('<dddddd', max(sum + excess, 0), newest, opened, latest, used, lives) .. older
      end
    end
  end
  if #changes > 0 then
    call('HSET', hash, unpack(changes))
    local milliseconds = math.ceil(keep / 1000)
    if owes and call('PTTL', hash) < milliseconds then call('PEXPIRE', hash, milliseconds) end
  end
  if most >= 0 then
    if lease ~= '' then call('ZREM', KEYS[key], lease) end
    key = key + 1
  end
end
return 1
