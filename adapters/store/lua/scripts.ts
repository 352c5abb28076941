/**
 * The Store port in Lua, for every server that speaks Redis. One script is one round trip and one
 * atomic step. Records are opaque packed text: to decode JSON in the script would make it twice as
 * slow.
 *
 *     <base>:records          hash  key → version ␀ place ␀ score ␀ stamp ␀ tags ␀ parts ␀ head
 *     <base>:parts            hash  key ␀ name → part
 *     <base>:keys             sorted set of all keys, for prefixes
 *     <base>:place:<place>    sorted set, score → key
 *     <base>:tag:<tag>        sorted set, score → key
 *     <base>:gone:<version>   that a unit of drops alone was committed, for a minute
 *
 * `base` is one hash tag, so that all of a store lies in one slot of a cluster. Scores stay text on
 * their way through Lua, whose own numbers print no more than 14 digits.
 */

/** What every script begins with. */
const PRELUDE = `
local base = KEYS[1]
local RECORDS, PARTS, KEYLIST = base .. ':records', base .. ':parts', base .. ':keys'
local at = 0
local function arg() at = at + 1 return ARGV[at] end
local function number() return tonumber(arg()) end
local function list() local items = {} for i = 1, number() do items[i] = arg() end return items end
local function now()
  local time = redis.call('TIME')
  return time[1] .. string.format('%03d', math.floor(tonumber(time[2]) / 1000))
end
local function parse(packed)
  return string.match(packed, '^([^%z]*)%z([^%z]*)%z([^%z]*)%z([^%z]*)%z([^%z]*)%z([^%z]*)%z(.*)$')
end
local function pack(...)
  return table.concat({ ... }, '\\0')
end
-- unpack() takes no more than 8,000 items.
local function many(command, key, fields)
  local values = {}
  for first = 1, #fields, 1000 do
    local chunk = redis.call(command, key, unpack(fields, first, math.min(first + 999, #fields)))
    for i = 1, #chunk do values[first + i - 1] = chunk[i] end
  end
  return values
end
-- Whether a comes before b by their bytes. Lua's own < goes by the locale of the server.
local function precedes(a, b)
  for i = 1, math.min(#a, #b) do
    local x, y = string.byte(a, i), string.byte(b, i)
    if x ~= y then return x < y end
  end
  return #a < #b
end
local function partsOf(key, names)
  local fields = {}
  for i = 1, #names do fields[i] = key .. '\\0' .. names[i] end
  return #fields == 0 and {} or redis.call('HMGET', PARTS, unpack(fields))
end
`

/**
 * units: { version, puts: { key, expect, kind, … } }, then wake-ups. Answers a 1 or a 0 for each unit.
 *
 * A client resends a script whose answer was lost. The records then bear the very version that the
 * unit brings, so it is known to have been done. What only drops leaves a note, for a minute.
 */
export const COMMIT: string = `${PRELUDE}
local function checkPut()
  local put = { key = arg(), expect = arg(), kind = arg() }
  if put.kind ~= 'w' then return put end
  put.place, put.score, put.stamp, put.head, put.tags = arg(), arg(), arg(), arg(), arg()
  put.parts = list()
  return put
end
local function eachTag(tags, act)
  for tag, score in string.gmatch(tags, '([^\\1]+)\\1([^\\1]+)') do act(base .. ':tag:' .. tag, score) end
end
local function dropParts(key, names)
  for name in string.gmatch(names, '[^\\1]+') do redis.call('HDEL', PARTS, key .. '\\0' .. name) end
end
local function leave(key, place, tags)
  redis.call('ZREM', base .. ':place:' .. place, key)
  eachTag(tags, function(tag) redis.call('ZREM', tag, key) end)
end
-- Writes the parts, and answers the names of all that the record has then.
local function writeParts(key, names, parts)
  for i = 1, #parts, 2 do
    local name, value = parts[i], parts[i + 1]
    if value == '-' then redis.call('HDEL', PARTS, key .. '\\0' .. name)
    else
      redis.call('HSET', PARTS, key .. '\\0' .. name, string.sub(value, 2))
      if not string.find('\\1' .. names .. '\\1', '\\1' .. name .. '\\1', 1, true) then
        names = names == '' and name or names .. '\\1' .. name
      end
    end
  end
  return names
end
local function write(put, version, packed)
  local key = put.key
  local _, place, score, stamp, tags, names, head
  if packed then _, place, score, stamp, tags, names, head = parse(packed) end
  if put.kind == 'd' then
    leave(key, place, tags)
    redis.call('HDEL', RECORDS, key)
    redis.call('ZREM', KEYLIST, key)
    dropParts(key, names)
    return
  end
  local toPlace = put.place == '' and place or put.place
  local toScore = put.score == '' and score or put.score
  if packed and (toPlace ~= place) then redis.call('ZREM', base .. ':place:' .. place, key) end
  if toPlace ~= place or toScore ~= score then redis.call('ZADD', base .. ':place:' .. toPlace, toScore, key) end
  local toTags = put.tags == '=' and (tags or '') or string.sub(put.tags, 2)
  if toTags ~= (tags or '') then
    eachTag(tags or '', function(tag) redis.call('ZREM', tag, key) end)
    eachTag(toTags, function(tag, tagScore) redis.call('ZADD', tag, tagScore, key) end)
  end
  local toHead = put.head == '=' and (head or '') or string.sub(put.head, 2)
  local toNames = writeParts(key, names or '', put.parts)
  redis.call('HSET', RECORDS, key, pack(version, toPlace, toScore, put.stamp, toTags, toNames, toHead))
  if not packed then redis.call('ZADD', KEYLIST, 0, key) end
end
local results, written = {}, false
for u = 1, number() do
  local version, puts, packed = arg(), {}, {}
  for p = 1, number() do puts[p] = checkPut() end
  local holds, replayed, writes, drops = true, true, 0, 0
  for p = 1, #puts do
    local put = puts[p]
    packed[p] = redis.call('HGET', RECORDS, put.key)
    local current = packed[p] and parse(packed[p]) or ''
    if current ~= put.expect then holds = false end
    if put.kind == 'w' then
      writes = writes + 1
      if current ~= version then replayed = false end
    elseif put.kind == 'd' then drops = drops + 1
    end
  end
  if holds then
    for p = 1, #puts do
      if puts[p].kind ~= 'c' then write(puts[p], version, packed[p]) written = true end
    end
    if drops > 0 and writes == 0 then redis.call('SET', base .. ':gone:' .. version, '', 'EX', 60) end
    results[u] = 1
  elseif writes > 0 then
    results[u] = replayed and 1 or 0
  else
    results[u] = drops > 0 and redis.call('EXISTS', base .. ':gone:' .. version) or 0
  end
end
for w = 1, number() do
  local channel, when = arg(), arg()
  if written then redis.call('PUBLISH', channel, when) end
end
return results
`

/**
 * get, names of parts, ranges, counts. Answers the time, the records of `get` each with its parts, the
 * ranges as keys and records in turn, and the counts.
 */
export const READ: string = `${PRELUDE}
-- How many entries stand at or before the cursor, in the order of (score, key).
local function rankAfter(zset, score, key)
  local low, high = redis.call('ZCOUNT', zset, '-inf', '(' .. score), redis.call('ZCOUNT', zset, '-inf', score)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if precedes(key, redis.call('ZRANGE', zset, middle, middle)[1]) then high = middle else low = middle + 1 end
  end
  return low
end
local function rankBefore(zset, score, key)
  local low, high = redis.call('ZCOUNT', zset, '-inf', '(' .. score), redis.call('ZCOUNT', zset, '-inf', score)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if precedes(redis.call('ZRANGE', zset, middle, middle)[1], key) then low = middle + 1 else high = middle end
  end
  return low - 1
end
local function within(zset, range)
  local first = redis.call('ZCOUNT', zset, '-inf', '(' .. range.from)
  local last = redis.call('ZCOUNT', zset, '-inf', range.to) - 1
  if range.key ~= '' then
    if range.reverse then last = math.min(last, rankBefore(zset, range.score, range.key))
    else first = math.max(first, rankAfter(zset, range.score, range.key)) end
  end
  if last < first then return {} end
  if not range.reverse then return redis.call('ZRANGE', zset, first, math.min(last, first + range.limit - 1)) end
  local keys = redis.call('ZRANGE', zset, math.max(first, last - range.limit + 1), last)
  local reversed = {}
  for i = #keys, 1, -1 do reversed[#reversed + 1] = keys[i] end
  return reversed
end
local function prefixed(range)
  local low, high = '[' .. range.name, '[' .. range.name .. '\\255'
  if range.name == '' then low, high = '-', '+' end
  if not range.reverse then
    if range.key ~= '' and not precedes(range.key, range.name) then low = '(' .. range.key end
    return redis.call('ZRANGEBYLEX', KEYLIST, low, high, 'LIMIT', 0, range.limit)
  end
  if range.key ~= '' and (range.name == '' or not precedes(range.name .. '\\255', range.key)) then high = '(' .. range.key end
  return redis.call('ZREVRANGEBYLEX', KEYLIST, high, low, 'LIMIT', 0, range.limit)
end
local function read(range)
  if range.limit <= 0 then return {} end
  if range.kind == 'prefix' then return prefixed(range) end
  return within(base .. ':' .. range.kind .. ':' .. range.name, range)
end
local get, names, got = list(), list(), {}
local packed = #get == 0 and {} or many('HMGET', RECORDS, get)
for i = 1, #get do got[i] = packed[i] and { packed[i], partsOf(get[i], names) } or false end
local ranges = {}
for i = 1, number() do
  local range = { kind = arg(), name = arg(), from = arg(), to = arg(), score = arg(), key = arg(), limit = number(), reverse = arg() == '1' }
  local keys, rows = read(range), {}
  local heads = #keys == 0 and {} or many('HMGET', RECORDS, keys)
  for k = 1, #keys do rows[2 * k - 1], rows[2 * k] = keys[k], heads[k] end
  ranges[i] = rows
end
local counts = list()
for i = 1, #counts do counts[i] = redis.call('ZCARD', base .. ':place:' .. counts[i]) end
return { now(), got, ranges, counts }
`

/**
 * limit, into, score, stamp, version, from, unless, names of parts. Answers key, record and parts of
 * each that was taken. A resent script finds what it took before, by the stamp, which is its own.
 */
export const TAKE: string = `${PRELUDE}
local limit, into, score, stamp, version = number(), arg(), arg(), arg(), arg()
local from, unless, wanted = list(), list(), list()
local target = base .. ':place:' .. into
local taken = {}
local function give(key, packed) taken[#taken + 1] = { key, packed, partsOf(key, wanted) } end
local before = redis.call('ZRANGEBYSCORE', target, score, score)
for i = 1, #before do
  local packed = redis.call('HGET', RECORDS, before[i])
  local _, _, _, holder = parse(packed)
  if holder == stamp then give(before[i], packed) end
end
if #taken > 0 then return taken end
for i = 1, #unless do
  if redis.call('HEXISTS', RECORDS, unless[i]) == 1 then return {} end
end
local found = {}
for f = 1, #from do
  local zset = base .. ':place:' .. from[f]
  local entries = redis.call('ZRANGE', zset, 0, limit - 1, 'WITHSCORES')
  for i = 1, #entries, 2 do found[#found + 1] = { tonumber(entries[i + 1]), entries[i], zset } end
end
if #from > 1 then
  table.sort(found, function(a, b) return a[1] < b[1] or (a[1] == b[1] and precedes(a[2], b[2])) end)
end
for i = 1, math.min(limit, #found) do
  local key = found[i][2]
  local _, _, _, _, tags, names, head = parse(redis.call('HGET', RECORDS, key))
  local packed = pack(version, into, score, stamp, tags, names, head)
  redis.call('ZREM', found[i][3], key)
  redis.call('ZADD', target, score, key)
  redis.call('HSET', RECORDS, key, packed)
  give(key, packed)
end
return taken
`
