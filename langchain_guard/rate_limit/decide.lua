-- Decides about one call for several subjects in one atomic step, by the server's clock.
--
-- One hash per subject, one field per window: a head of 48 bytes (sum; the newest slot: number, time it was opened,
-- latest call in it, amount; a time until which the hash is certain to live), then 16 bytes per older slot, the oldest
-- first (latest call in it, amount), all little-endian doubles, times in microseconds. It is the run-length log of
-- policy.py, where the scheme is told. Field "b" holds the end of a ban. Running calls stand in a sorted set, by the time
-- their lease ends. Both live for at least one period after the last charge and at most two, so that most charges need
-- not touch their time to live.
--
-- Numbers come and go as doubles in one string: to spell and to read them would take longer than the decision.
--
-- KEYS     per subject its hash and, if it has a limit on running calls, their set
-- ARGV     numbers: mode (0 look, 1 charge, 2 charge and name the slots, 3 take a lease, too), subjects, lease length;
--          then per subject its windows, most leases (-1: no limit), time to keep; then per window its amount, amount
--          with tolerance, period, quantum, and what the call costs
--          field of each window
--          in mode 3 the name of the lease
-- returns  numbers: outcome (0 refused, 1 admitted, 2 banned, 3 never fits), wait, what is left, subject and window that
--          decided (0: leases); from mode 2 on then the slot charged per window (-1: none)
local call, read, pack, sub, max = redis.call, struct.unpack, struct.pack, string.sub, math.max
local numbers = ARGV[1]
local t = call('TIME')
local now = t[1] * 1000000 + t[2]
local mode, subjects, length = read('<ddd', numbers)
local at, field, key = 25, 1, 1
local worst, worst_left, worst_subject, worst_window = 0, 0, 0, 0
local fewest, left, left_subject, left_window = math.huge, math.huge, 1, 0
local writes, slots = nil, ''  -- a chain, since a list would take as long as what it holds

for s = 1, subjects do
  local count, most, keep = read('<ddd', numbers, at)
  local hash, fields = KEYS[key], field
  at, field, key = at + 24, field + count, key + 1
  local stored = call('HMGET', hash, 'b', unpack(ARGV, fields + 1, field))
  if stored[1] and tonumber(stored[1]) > now then
    return pack('<ddddd', 2, stored[1] - now, 0, s, 0)
  end
  local changes, lives
  for w = 1, count do
    local amount, ceiling, period, quantum, cost = read('<ddddd', numbers, at)
    at = at + 40
    local log, gone = stored[w + 1], now - period
    local sum, newest, opened, latest, used, expires, from, size = 0, now, 0, 0, 0, 0, 49, 0
    if log then
      sum, newest, opened, latest, used, expires = read('<dddddd', log)
      size = #log
      while from < size do
        local last, charged = read('<dd', log, from)
        if last > gone then break end
        sum, from = sum - charged, from + 16
      end
      if latest <= gone or sum < 0 then sum = 0 end
    end
    local rest = amount - sum
    if sum + cost > ceiling then
      if cost > ceiling then
        return pack('<ddddd', 3, 0, max(0, rest), s, w)
      end
      local over, last, place = sum + cost - (amount + ceiling) / 2, latest, from
      while place < size do
        local older, charged = read('<dd', log, place)
        over, place = over - charged, place + 16
        if over <= 0 then
          last = older
          break
        end
      end
      local wait = last + period - now
      if wait > worst then
        worst, worst_left, worst_subject, worst_window = wait, max(0, rest), s, w
      end
    end
    local more, slot = rest, -1
    if cost > 0 then
      if mode > 0 then
        rest = rest - cost
        local older = from < size and sub(log, from) or ''
        if now - opened < quantum then
          latest, used = max(now, latest), used + cost
        else
          if latest > gone then older = older .. pack('<dd', latest, used) end
          newest, opened, latest, used = newest + 1, now, now, cost
        end
        if not changes then
          changes, lives = {'HSET', hash}, expires
          if expires < now + keep then
            lives = now + 2 * keep
            changes.milliseconds = math.ceil(keep / 500)
            changes.least = changes.milliseconds
          end
          if writes then changes.next = writes end
          writes = changes
        end
        local place = #changes
        changes[place + 1] = ARGV[fields + w]
        changes[place + 2] = pack('<dddddd', sum + cost, newest, opened, latest, used, lives) .. older
        slot = newest
      end
      more = rest / cost
    end
    if mode > 1 then slots = slots .. pack('<d', slot) end
    if more < fewest then
      fewest, left, left_subject, left_window = more, rest, s, w
    end
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
    if mode == 3 then
      free = free - 1
      local least = math.ceil(length / 1000) + 1000
      writes = {'ZADD', running, now + length, ARGV[#ARGV], least = least, milliseconds = 2 * least, next = writes}
    end
    if free < fewest then
      fewest, left, left_subject, left_window = free, free, s, 0
    end
  end
end

if worst > 0 then
  return pack('<ddddd', 0, math.ceil(worst), worst_left, worst_subject, worst_window)
end
while writes do
  call(unpack(writes))
  local least = writes.least
  if least and call('PTTL', writes[2]) < least then call('PEXPIRE', writes[2], writes.milliseconds) end
  writes = writes.next
end
return pack('<ddddd', 1, 0, max(0, left), left_subject, left_window) .. slots
