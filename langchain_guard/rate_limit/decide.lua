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
--          subject: number of windows, most leases (-1: no limit), time to keep; per window: field, amount, amount with
--          tolerance, period, quantum, cost
-- returns  outcome ("1" admitted, "0" refused, "b" banned, "n" never fits), wait, what is left, subject and window that
--          decided (0: leases), and in mode "r" the slot charged per window ("" for none)
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local mode, lease, lease_length, subjects = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local call, read, pack, sub, text = redis.call, struct.unpack, struct.pack, string.sub, tostring
local at = 5
local states, worst, worst_left, worst_subject, worst_window = {}, 0, 0, 0, 0
local fewest, left, left_subject, left_window = math.huge, math.huge, 1, 0

for s = 1, subjects do
  local hash, leases = KEYS[2 * s - 1], KEYS[2 * s]
  local count, most, keep = tonumber(ARGV[at]), tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  at = at + 3
  local fields = {'b', 'e'}
  for w = 1, count do
    fields[w + 2] = ARGV[at + 6 * (w - 1)]
  end
  local stored = call('HMGET', hash, unpack(fields))
  local ban = stored[1] and tonumber(stored[1]) or 0
  if ban > now then
    return {'b', string.format('%.0f', ban - now), '0', s, 0}
  end
  local windows = {}
  for w = 1, count do
    local a = at + 6 * (w - 1)
    local amount, ceiling, period, quantum, cost =
      tonumber(ARGV[a + 1]), tonumber(ARGV[a + 2]), tonumber(ARGV[a + 3]), tonumber(ARGV[a + 4]), tonumber(ARGV[a + 5])
    local log = stored[w + 2] or ''
    local sum, first, opened, from = 0, now, 0, 25
    if log ~= '' then
      sum, first, opened = read('<ddd', log)
      while from < #log do
        local latest, used = read('<dd', log, from)
        if latest > now - period then break end
        sum, first, from = sum - used, first + 1, from + 16
      end
      if from > #log or sum < 0 then sum = 0 end
    end
    if sum + cost > ceiling then
      if cost > ceiling then
        return {'n', '0', text(math.max(0, amount - sum)), s, w}
      end
      local over, wait, place = sum + cost - (amount + ceiling) / 2, period, from
      while place < #log do
        local latest, used = read('<dd', log, place)
        over, wait, place = over - used, latest + period - now, place + 16
        if over <= 0 then break end
      end
      if wait > worst then
        worst, worst_left, worst_subject, worst_window = wait, math.max(0, amount - sum), s, w
      end
    end
    local more, rest = amount - sum, amount - sum
    if cost > 0 then more = more / cost end
    if mode ~= 'p' then
      rest = rest - cost
      if cost > 0 then more = more - 1 end
    end
    if more < fewest then
      fewest, left, left_subject, left_window = more, rest, s, w
    end
    windows[w] = {log, sum, first, opened, from, cost, quantum, fields[w + 2]}
  end
  at = at + 6 * count
  if most >= 0 then
    call('ZREMRANGEBYSCORE', leases, '-inf', now)
    local running = call('ZCARD', leases)
    if running >= most then
      local first = call('ZRANGE', leases, 0, 0, 'WITHSCORES')
      local wait = first[2] and tonumber(first[2]) - now or lease_length
      if wait > worst then
        worst, worst_left, worst_subject, worst_window = wait, 0, s, 0
      end
    end
    local free = most - running
    if mode == 'r' then free = free - 1 end
    if free < fewest then
      fewest, left, left_subject, left_window = free, free, s, 0
    end
  end
  states[s] = {hash, leases, windows, most, keep, tonumber(stored[2] or 0)}
end

if worst > 0 then
  return {'0', string.format('%.0f', math.ceil(worst)), text(worst_left), worst_subject, worst_window}
end
local answer = {'1', '0', text(math.max(0, left)), left_subject, left_window}
if mode == 'p' then
  return answer
end
for s = 1, subjects do
  local hash, leases, windows, most, keep, expires = unpack(states[s])
  local changes = {}
  for w = 1, #windows do
    local log, sum, first, opened, from, cost, quantum, field = unpack(windows[w])
    if cost > 0 then
      local slots, slot = sub(log, from), nil
      if slots ~= '' and now - opened < quantum then
        local latest, used = read('<dd', slots, #slots - 15)
        slot = pack('<dd', math.max(now, latest), used + cost)
        slots = sub(slots, 1, -17)
      else
        opened, slot = now, pack('<dd', now, cost)
      end
      changes[#changes + 1] = field
      changes[#changes + 1] = pack('<ddd', sum + cost, first, opened) .. slots .. slot
      if mode == 'r' then answer[#answer + 1] = string.format('%.0f', first + #slots / 16) end
    elseif mode == 'r' then
      answer[#answer + 1] = ''
    end
  end
  if #changes > 0 then
    if expires < now + keep then
      changes[#changes + 1] = 'e'
      changes[#changes + 1] = string.format('%.0f', now + 2 * keep)
      call('HSET', hash, unpack(changes))
      call('PEXPIRE', hash, math.ceil(2 * keep / 1000))
    else
      call('HSET', hash, unpack(changes))
    end
  end
  if most >= 0 and mode == 'r' then
    call('ZADD', leases, now + lease_length, lease)
    call('PEXPIRE', leases, math.ceil(lease_length / 1000) + 1000)
  end
end
return answer
