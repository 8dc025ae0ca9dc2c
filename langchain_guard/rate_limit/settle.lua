-- Corrects what a call was charged by what it used, and ends its lease; see decide.lua for what is stored.
--
-- KEYS     hash and lease set of each subject
-- ARGV     lease name, number of subjects; then per subject: number of windows, time to keep; per window: field, slot
--          charged ("" for none), excess (used minus charged), period, quantum
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local at = 3
for s = 1, tonumber(ARGV[2]) do
  local hash, leases = KEYS[2 * s - 1], KEYS[2 * s]
  local count, keep = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
  at = at + 2
  local changes, owes = {}, false
  for w = 1, count do
    local field, slot, excess = ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
    local period, quantum = tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4])
    at = at + 5
    if excess ~= 0 then
      local log = redis.call('HGET', hash, field) or ''
      local sum, first, opened = 0, now, 0
      if log ~= '' then sum, first, opened = struct.unpack('<ddd', log) end
      local place = slot and 25 + 16 * (slot - first) or 0
      if place >= 25 and place + 15 <= #log then
        local latest, used = struct.unpack('<dd', log, place)
        excess = math.max(excess, -used)
        changes[#changes + 1] = field
        changes[#changes + 1] = struct.pack('<ddd', math.max(sum + excess, 0), first, opened) .. string.sub(log, 25, place - 1)
          .. struct.pack('<dd', latest, used + excess) .. string.sub(log, place + 16)
      elseif excess > 0 then  -- the slot has aged out, or nothing was charged: a debt that later calls wait for
        local slots, latest, used = string.sub(log, 25), now, 0
        if slots ~= '' and now - opened < quantum then
          latest, used = struct.unpack('<dd', slots, #slots - 15)
          slots = string.sub(slots, 1, -17)
        else
          opened = now
        end
        changes[#changes + 1] = field
        changes[#changes + 1] = struct.pack('<ddd', sum + excess, first, opened) .. slots
          .. struct.pack('<dd', math.max(now, latest), used + excess)
        owes = true
      end
    end
  end
  if #changes > 0 then
    redis.call('HSET', hash, unpack(changes))
    local milliseconds = math.ceil(keep / 1000)
    if owes and redis.call('PTTL', hash) < milliseconds then redis.call('PEXPIRE', hash, milliseconds) end
  end
  if ARGV[1] ~= '' then redis.call('ZREM', leases, ARGV[1]) end
end
return 1
