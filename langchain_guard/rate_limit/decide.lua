-- Decides about one call for several subjects in one atomic step, by the server's clock.
--
-- One hash per subject, one field per window: 24 bytes of header (sum, number of the first slot, time the newest slot
-- was opened), then 16 bytes per slot (latest call in it, amount), all little-endian doubles, times in microseconds.
-- It is the run-length log of policy.py, where the scheme is told. Field "b" holds the end of a ban, "e" the time at
-- which the hash expires: at least one period and at most two after the last charge, so that most charges need not
-- touch it. Running calls stand in a sorted set, by the time their lease ends.
--
-- KEYS     hash and lease set of each subject
-- ARGV     mode ("h" charge, "r" charge and lease, "p" look), lease name, lease length, number of subjects; then per
--          subject: number of windows, most leases (-1: no limit), time to keep; then per window: its field, and as
--          five doubles its amount, amount with tolerance, period, quantum, and what the call costs
-- returns  outcome ("1" admitted, "0" refused, "b" banned, "n" never fits), wait, what is left, subject and window that
--          decided (0: leases), and in mode "r" the slot charged per window ("" for none)
local call, read, pack, sub = redis.call, struct.unpack, struct.pack, string.sub
local t = call('TIME')
local now = t[1] * 1000000 + t[2]
local mode, subjects, at = ARGV[1], tonumber(ARGV[4]), 5
local looks, holds = mode == 'p', mode == 'r'
local worst, worst_left, worst_subject, worst_window = 0, 0, 0, 0
local fewest, left, left_subject, left_window = math.huge, math.huge, 1, 0
local answer, changed = {'1', '0', '', 0, 0}, {}

for s = 1, subjects do
  local count, most = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
  at = at + 3
  local fields = {'b', 'e'}
  for w = 1, count do
    fields[w + 2] = ARGV[at + 2 * w - 2]
  end
  local stored = call('HMGET', KEYS[2 * s - 1], unpack(fields))
  if stored[1] and tonumber(stored[1]) > now then
    return {'b', string.format('%.0f', stored[1] - now), '0', s, 0}
  end
  local changes = {}
  for w = 1, count do
    local amount, ceiling, period, quantum, cost = read('<ddddd', ARGV[at + 2 * w - 1])
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
        return {'n', '0', tostring(math.max(0, rest)), s, w}
      end
      local over, wait, place = sum + cost - (amount + ceiling) / 2, period, from
      while place < size do
        local latest, used = read('<dd', log, place)
        over, wait, place = over - used, latest + period - now, place + 16
        if over <= 0 then break end
      end
      if wait > worst then
        worst, worst_left, worst_subject, worst_window = wait, math.max(0, rest), s, w
      end
    end
    local more = rest
    if cost > 0 then
      more = rest / cost
      if not looks then
        rest, more = rest - cost, more - 1
        local change = #changes
        changes[change + 1] = fields[w + 2]
        if from < size and now - opened < quantum then
          local latest, used = read('<dd', log, size - 15)
          changes[change + 2] = pack('<ddd', sum + cost, first, opened) .. sub(log, from, size - 16)
            .. pack('<dd', math.max(now, latest), used + cost)
          if holds then answer[#answer + 1] = string.format('%.0f', first + (size - from + 1) / 16 - 1) end
        else
          changes[change + 2] = pack('<ddd', sum + cost, first, now) .. (log and sub(log, from) or '')
            .. pack('<dd', now, cost)
          if holds then answer[#answer + 1] = string.format('%.0f', first + math.max(size - from + 1, 0) / 16) end
        end
      end
    end
    if cost == 0 and holds then answer[#answer + 1] = '' end
    if more < fewest then
      fewest, left, left_subject, left_window = more, rest, s, w
    end
  end
  local keep = tonumber(ARGV[at - 1])
  at = at + 2 * count
  if #changes > 0 and tonumber(stored[2] or 0) < now + keep then
    changes[#changes + 1] = 'e'
    changes[#changes + 1] = string.format('%.0f', now + 2 * keep)
    changes.expire = math.ceil(keep / 500)
  end
  changed[s] = changes
  if most >= 0 then
    local leases = KEYS[2 * s]
    call('ZREMRANGEBYSCORE', leases, '-inf', now)
    local running = call('ZCARD', leases)
    if running >= most then
      local soonest = call('ZRANGE', leases, 0, 0, 'WITHSCORES')
      local wait = soonest[2] and soonest[2] - now or tonumber(ARGV[3])
      if wait > worst then
        worst, worst_left, worst_subject, worst_window = wait, 0, s, 0
      end
    end
    local free = most - running - (holds and 1 or 0)
    if free < fewest then
      fewest, left, left_subject, left_window = free, free, s, 0
    end
    changes.lease = leases
  end
end

if worst > 0 then
  return {'0', string.format('%.0f', math.ceil(worst)), tostring(worst_left), worst_subject, worst_window}
end
answer[3], answer[4], answer[5] = tostring(math.max(0, left)), left_subject, left_window
if looks then
  return answer
end
for s = 1, subjects do
  local changes = changed[s]
  if #changes > 0 then
    call('HSET', KEYS[2 * s - 1], unpack(changes))
    if changes.expire then call('PEXPIRE', KEYS[2 * s - 1], changes.expire) end
  end
  if holds and changes.lease then
    call('ZADD', changes.lease, now + ARGV[3], ARGV[2])
    call('PEXPIRE', changes.lease, math.ceil(ARGV[3] / 1000) + 1000)
  end
end
return answer
