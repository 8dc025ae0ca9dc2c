-- Keeps a subject out for so long, or for what is left of a longer ban.
--
-- KEYS     hash of the subject
-- ARGV     microseconds
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local until_ = math.max(now + tonumber(ARGV[1]), tonumber(redis.call('HGET', KEYS[1], 'b') or 0))
redis.call('HSET', KEYS[1], 'b', string.format('%.17g', until_))
local milliseconds = math.ceil((until_ - now) / 1000) + 1
if redis.call('PTTL', KEYS[1]) < milliseconds then redis.call('PEXPIRE', KEYS[1], milliseconds) end
return 1
