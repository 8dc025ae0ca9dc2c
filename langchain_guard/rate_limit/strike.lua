-- Counts a strike, and bans when there were enough; see penalty.py for the scheme.
--
-- KEYS     hash of the subject, hash of its record
-- ARGV     strikes, within, time-out, time-outs before a ban, ban, factor, longest ban, forget after (microseconds)
-- returns  microseconds that are left of a time-out or ban, "0" if there is none
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local strikes, within, timeout, ban_after = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local ban, factor, longest, forget = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local banned = tonumber(redis.call('HGET', KEYS[1], 'b') or 0)
if banned > now then return string.format('%.0f', banned - now) end
local record = redis.call('HMGET', KEYS[2], 's', 'o', 'l')
local times, offences, last = record[1] or '', tonumber(record[2] or 0), tonumber(record[3] or 0)
while times ~= '' and struct.unpack('<d', times) <= now - within do times = string.sub(times, 9) end
times = times .. struct.pack('<d', now)
local length = 0
if #times / 8 >= strikes then
  times = ''
  if now - last > forget then offences = 0 end
  offences = offences + 1
  length = offences <= ban_after and timeout or ban * factor ^ math.min(offences - ban_after - 1, 1000)
  length = math.min(length, longest)
  last = now + length
  redis.call('HSET', KEYS[1], 'b', string.format('%.17g', last))
  local milliseconds = math.ceil(length / 1000) + 1
  if redis.call('PTTL', KEYS[1]) < milliseconds then redis.call('PEXPIRE', KEYS[1], milliseconds) end
end
redis.call('HSET', KEYS[2], 's', times, 'o', offences, 'l', string.format('%.17g', last))
redis.call('PEXPIRE', KEYS[2], math.ceil((math.max(within, forget) + length) / 1000) + 1)
return string.format('%.17g', length)
