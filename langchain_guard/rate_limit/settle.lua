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
      local log = call('HGET', hash, ARGV[field]) or ''
      local sum, first, opened = 0, now, 0
      if log ~= '' then sum, first, opened = read('<ddd', log) end
      local place = slot >= 0 and 25 + 16 * (slot - first) or 0
      if place >= 25 and place + 15 <= #log then
        local latest, used = read('<dd', log, place)
        excess = max(excess, -used)
        changes[#changes + 1] = ARGV[field]
        changes[#changes + 1] = pack('<ddd', max(sum + excess, 0), first, opened) .. sub(log, 25, place - 1)
          .. pack('<dd', latest, used + excess) .. sub(log, place + 16)
      elseif excess > 0 then  -- the slot has aged out, or nothing was charged: a debt that later calls wait for
        local slots, latest, used = sub(log, 25), now, 0
        if slots ~= '' and now - opened < quantum then
          latest, used = read('<dd', slots, #slots - 15)
          slots = sub(slots, 1, -17)
        else
          opened = now
        end
        changes[#changes + 1] = ARGV[field]
        changes[#changes + 1] = pack('<ddd', sum + excess, first, opened) .. slots
          .. pack('<dd', max(now, latest), used + excess)
        owes = true
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
