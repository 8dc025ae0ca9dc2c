-- Decides about one call for several subjects in one atomic step, by the server's clock.
--
-- One hash per subject, one field per window: 24 bytes of header (sum, number of the first slot, time the newest slot
-- was opened), then 16 bytes per slot (latest call in it, amount), all little-endian doubles, times in microseconds.
-- It is the run-length log of policy.py, where the scheme is told. Field "b" holds the end of a ban, "e" the time at
-- which the hash expires: at least one period and at most two after the last charge, so that most charges need not
-- touch it. Running calls stand in a sorted set, by the time their lease ends.
--
-- Numbers come and go as doubles in one string: to spell and to read them would take longer than the decision.
--
-- KEYS     per subject its hash and, if it has a limit on running calls, their set
-- ARGV     numbers: mode (0 look, 1 charge, 2 charge and name the slots), subjects, lease length; then per subject its
--          windows, most leases (-1: no limit), time to keep; then per window its amount, amount with tolerance,
--          period, quantum, and what the call costs
--          name of the lease to take ("": none)
--          field of each window
-- returns  numbers: outcome (0 refused, 1 admitted, 2 banned, 3 never fits), wait, what is left, subject and window that
--          decided (0: leases); in mode 2 then the slot charged per window (-1: none)
local call, read, pack, sub, max = redis.call, struct.unpack, struct.pack, string.sub, math.max
local numbers, lease = ARGV[1], ARGV[2]
local t = call('TIME')
local now = t[1] * 1000000 + t[2]
local mode, subjects, length = read('<ddd', numbers)
local at, field, key = 25, 2, 1
local worst, worst_left, worst_subject, worst_window = 0, 0, 0, 0
local fewest, left, left_subject, left_window = math.huge, math.huge, 1, 0
local changed, slots = {}, {}

for s = 1, subjects do
  local count, most, keep = read('<ddd', numbers, at)
  local hash, fields = KEYS[key], field
  at, field, key = at + 24, field + count, key + 1
  local stored = call('HMGET', hash, 'b', 'e', unpack(ARGV, fields + 1, field))
  if stored[1] and tonumber(stored[1]) > now then
    return pack('<ddddd', 2, stored[1] - now, 0, s, 0)
  end
  local changes, changing = {'HSET', hash}, 2
  for w = 1, count do
    local amount, ceiling, period, quantum, cost = read('<ddddd', numbers, at)
    at = at + 40
    local log = stored[w + 2]
    local sum, first, opened, from, size = 0, now, 0, 25, 0
    if log then
      sum, first, opened = read('<ddd', log)
      size = #log
      while from < size do
        local latest, used = read('<dd', log, from)
        if latest > now - period then break end
        sum, first, from = sum - used, first + 1, from + 16
      end
      if from > size or sum < 0 then sum = 0 end
    end
    local rest = amount - sum
    if sum + cost > ceiling then
      if cost > ceiling then
        return pack('<ddddd', 3, 0, max(0, rest), s, w)
      end
      local over, wait, place = sum + cost - (amount + ceiling) / 2, period, from
      while place < size do
        local latest, used = read('<dd', log, place)
        over, wait, place = over - used, latest + period - now, place + 16
        if over <= 0 then break end
      end
      if wait > worst then
        worst, worst_left, worst_subject, worst_window = wait, max(0, rest), s, w
      end
    end
    local more, slot = rest, -1
    if cost > 0 then
      more = rest / cost
      if mode > 0 then
        rest, more = rest - cost, more - 1
        changes[changing + 1] = ARGV[fields + w]
        if from < size and now - opened < quantum then
          local latest, used = read('<dd', log, size - 15)
          changes[changing + 2] = pack('<ddd', sum + cost, first, opened) .. sub(log, from, size - 16)
            .. pack('<dd', max(now, latest), used + cost)
          slot = first + (size - from + 1) / 16 - 1
        else
          changes[changing + 2] = pack('<ddd', sum + cost, first, now) .. (log and sub(log, from) or '')
            .. pack('<dd', now, cost)
          slot = first + max(size - from + 1, 0) / 16
        end
        changing = changing + 2
      end
    end
    slots[#slots + 1] = slot
    if more < fewest then
      fewest, left, left_subject, left_window = more, rest, s, w
    end
  end
  if changing > 2 then
    if tonumber(stored[2] or 0) < now + keep then
      changes[changing + 1], changes[changing + 2] = 'e', string.format('%.0f', now + 2 * keep)
      changes.expire = math.ceil(keep / 500)
    end
    changed[#changed + 1] = changes
  end
  if most >= 0 then
    local running = KEYS[key]
    key = key + 1
    call('ZREMRANGEBYSCORE', running, '-inf', now)
    local taken = call('ZCARD', running)
    if taken >= most then
      local soonest = call('ZRANGE', running, 0, 0, 'WITHSCORES')
      local wait = soonest[2] and soonest[2] - now or length
      if wait > worst then
        worst, worst_left, worst_subject, worst_window = wait, 0, s, 0
      end
    end
    local free = most - taken
    if lease ~= '' then
      free = free - 1
      changed[#changed + 1] = {'ZADD', running, now + length, lease, expire = math.ceil(length / 1000) + 1000}
    end
    if free < fewest then
      fewest, left, left_subject, left_window = free, free, s, 0
    end
  end
end

if worst > 0 then
  return pack('<ddddd', 0, math.ceil(worst), worst_left, worst_subject, worst_window)
end
if mode > 0 then
  for _, changes in ipairs(changed) do
    call(unpack(changes))
    if changes.expire then call('PEXPIRE', changes[2], changes.expire) end
  end
end
local answer = pack('<ddddd', 1, 0, max(0, left), left_subject, left_window)
if mode == 2 then
  for _, slot in ipairs(slots) do answer = answer .. pack('<d', slot) end
end
return answer
