/**
 * The Store port in Lua, for every server that speaks Redis. One script is one round trip and one
 * atomic step. Records are opaque packed text: to decode JSON in the script would make it twice as
 * slow.
 *
 *     <base>:records          hash  key → version ␀ place ␀ score ␀ tags ␀ parts ␀ stamp ␀ head
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
-- Place, score, tags and the names of its parts: what has to be known to change a record.
local function parse(packed)
  return string.match(packed, '^[^%z]*%z([^%z]*)%z([^%z]*)%z([^%z]*)%z([^%z]*)')
end
local placeKeys = {}
local function placeKey(place)
  local known = placeKeys[place]
  if not known then known = base .. ':place:' .. place placeKeys[place] = known end
  return known
end
-- unpack() takes no more than 8,000 items.
local function inChunks(count, act)
  for first = 1, count, 1000 do act(first, math.min(first + 999, count)) end
end
local function many(command, key, fields)
  if #fields <= 1000 then return #fields == 0 and {} or redis.call(command, key, unpack(fields)) end
  local values = {}
  inChunks(#fields, function(first, last)
    local chunk = redis.call(command, key, unpack(fields, first, last))
    for i = 1, #chunk do values[first + i - 1] = chunk[i] end
  end)
  return values
end
-- What is to be written, by command and key: for many records each is one call.
local changes = { ZREM = {}, HDEL = {}, ZADD = {}, HSET = {} }
local function change(command, key, first, second)
  local items = changes[command][key]
  if not items then items = { count = 0 } changes[command][key] = items end
  local count = items.count + 1
  items[count] = first
  if second then count = count + 1 items[count] = second end
  items.count = count
end
-- Removals first: what leaves a place may come to it again.
local function writeChanges()
  for _, command in ipairs({ 'ZREM', 'HDEL', 'ZADD', 'HSET' }) do
    for key, items in pairs(changes[command]) do
      inChunks(items.count, function(first, last) redis.call(command, key, unpack(items, first, last)) end)
    end
  end
end
-- Whether a comes before b by their bytes. Lua's own < goes by the locale of the server.
local function precedes(a, b)
  for i = 1, math.min(#a, #b) do
    local x, y = string.byte(a, i), string.byte(b, i)
    if x ~= y then return x < y end
  end
  return #a < #b
end
-- The named parts of these records, one record after the other.
local function partsOf(keys, names)
  local fields = {}
  for k = 1, #keys do
    for n = 1, #names do fields[#fields + 1] = keys[k] .. '\\0' .. names[n] end
  end
  return many('HMGET', PARTS, fields)
end
`

/**
 * units: { version, puts: { packed put, its ends, parts } }, then wake-ups. Answers a 1 or a 0 for each unit. A
 * put is key ␀ expect ␀ kind ␀ number of parts ␀ place ␀ score ␀ tags, then stamp ␀ head, or the stamp
 * alone to keep the head. No key that one unit writes stands in another, so all can be read before the
 * first is written.
 *
 * A client resends a script whose answer was lost. The records then bear the very version that the
 * unit brings, so it is known to have been done. What only drops leaves a note, for a minute.
 */
export const COMMIT: string = `${PRELUDE}
local function eachTag(tags, act)
  for tag, score in string.gmatch(tags, '([^\\1]+)\\1([^\\1]+)') do act(base .. ':tag:' .. tag, score) end
end
local function drop(key, packed)
  local place, _, tags, names = parse(packed)
  change('ZREM', placeKey(place), key)
  change('ZREM', KEYLIST, key)
  change('HDEL', RECORDS, key)
  eachTag(tags, function(tag) change('ZREM', tag, key) end)
  for name in string.gmatch(names, '[^\\1]+') do change('HDEL', PARTS, key .. '\\0' .. name) end
end
-- Writes the parts, and answers the names of all that the record has then.
local function writeParts(key, names, first, count)
  for i = first, first + count - 1, 2 do
    local name = ARGV[i]
    if string.sub(name, 1, 1) == ' ' then change('HDEL', PARTS, key .. '\\0' .. string.sub(name, 2))
    else
      change('HSET', PARTS, key .. '\\0' .. name, ARGV[i + 1])
      if names == '' then names = name
      elseif not string.find('\\1' .. names .. '\\1', '\\1' .. name .. '\\1', 1, true) then
        names = names .. '\\1' .. name
      end
    end
  end
  return names
end
local function write(put, key, version, packed, parts, toPlace, toScore, toTags)
  local place, score, tags, names = '', '', '', ''
  if packed then place, score, tags, names = parse(packed) end
  if toPlace == '' then toPlace = place end
  if toScore == '' then toScore = score end
  if packed and toPlace ~= place then change('ZREM', placeKey(place), key) end
  if toPlace ~= place or toScore ~= score then change('ZADD', placeKey(toPlace), toScore, key) end
  toTags = toTags == '=' and tags or string.sub(toTags, 2)
  if toTags ~= tags then
    eachTag(tags, function(tag) change('ZREM', tag, key) end)
    eachTag(toTags, function(tag, tagScore) change('ZADD', tag, tagScore, key) end)
  end
  local ends = ARGV[put + 1]
  if not string.find(ends, '\\0', 1, true) then
    ends = ends .. '\\0' .. (packed and string.match(packed, '([^%z]*)$') or '')
  end
  local toNames = writeParts(key, names, put + 2, parts)
  change('HSET', RECORDS, key, version .. '\\0' .. toPlace .. '\\0' .. toScore .. '\\0' .. toTags .. '\\0' .. toNames .. '\\0' .. ends)
  if not packed then change('ZADD', KEYLIST, 0, key) end
end
-- All puts of all units: where each stands among the arguments, what it is, and its record.
local versions, sizes, puts, keys, expects, kinds = {}, {}, {}, {}, {}, {}
local parts, places, scores, tags = {}, {}, {}, {}
local PUT = '^' .. string.rep('([^%z]*)%z', 6) .. '(.*)$'
for u = 1, number() do
  versions[u], sizes[u] = arg(), number()
  for _ = 1, sizes[u] do
    local p, packed = #puts + 1, arg()
    puts[p] = at
    keys[p], expects[p], kinds[p], parts[p], places[p], scores[p], tags[p] = string.match(packed, PUT)
    parts[p] = tonumber(parts[p])
    at = at + 1 + parts[p]
  end
end
local records, results, written, first = many('HMGET', RECORDS, keys), {}, false, 1
for u = 1, #versions do
  local version, last = versions[u], first + sizes[u] - 1
  local holds, replayed, writes, drops = true, true, 0, 0
  for p = first, last do
    local current = records[p] and string.match(records[p], '^[^%z]*') or ''
    if current ~= expects[p] then holds = false end
    if kinds[p] == 'w' then
      writes = writes + 1
      if current ~= version then replayed = false end
    elseif kinds[p] == 'd' then drops = drops + 1
    end
  end
  if holds then
    for p = first, last do
      if kinds[p] == 'w' then write(puts[p], keys[p], version, records[p], parts[p], places[p], scores[p], tags[p])
      elseif kinds[p] == 'd' then drop(keys[p], records[p]) end
    end
    written = written or writes + drops > 0
    if drops > 0 and writes == 0 then redis.call('SET', base .. ':gone:' .. version, '', 'EX', 60) end
    results[u] = 1
  elseif writes > 0 then
    results[u] = replayed and 1 or 0
  else
    results[u] = drops > 0 and redis.call('EXISTS', base .. ':gone:' .. version) or 0
  end
  first = last + 1
end
writeChanges()
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
local packed, parts = many('HMGET', RECORDS, get), partsOf(get, names)
for i = 1, #get do
  got[i] = packed[i] and { packed[i], unpack(parts, (i - 1) * #names + 1, i * #names) } or false
end
local ranges = {}
for i = 1, number() do
  local range = { kind = arg(), name = arg(), from = arg(), to = arg(), score = arg(), key = arg(), limit = number(), reverse = arg() == '1' }
  local keys, rows = read(range), {}
  local heads = many('HMGET', RECORDS, keys)
  for k = 1, #keys do rows[2 * k - 1], rows[2 * k] = keys[k], heads[k] end
  ranges[i] = rows
end
local counts = list()
for i = 1, #counts do counts[i] = redis.call('ZCARD', base .. ':place:' .. counts[i]) end
return { now(), got, ranges, counts }
`

/**
 * limit, into, score, stamp, version, from, unless, names of parts. Answers keys, records and parts of
 * those that were taken. A resent script finds what it took before, by the stamp, which is its own.
 */
export const TAKE: string = `${PRELUDE}
local limit, into, score, stamp, version = number(), arg(), arg(), arg(), arg()
local from, unless, wanted = list(), list(), list()
local target = placeKey(into)
local function answer(keys, records) return { keys, records, partsOf(keys, wanted) } end
local function takenBefore()
  local there = redis.call('ZRANGEBYSCORE', target, score, score)
  local keys, records, all = {}, {}, many('HMGET', RECORDS, there)
  for i = 1, #there do
    local holder = string.match(all[i], '([^%z]*)%z[^%z]*$')
    if holder == stamp then keys[#keys + 1], records[#records + 1] = there[i], all[i] end
  end
  return keys, records
end
local keys, records = takenBefore()
if #keys > 0 then return answer(keys, records) end
for i = 1, #unless do
  if redis.call('HEXISTS', RECORDS, unless[i]) == 1 then return answer({}, {}) end
end
local lines = {}
for f = 1, #from do
  if redis.call('EXISTS', placeKey(from[f])) == 1 then lines[#lines + 1] = placeKey(from[f]) end
end
if #lines == 1 then
  local popped = redis.call('ZPOPMIN', lines[1], limit)
  for i = 1, #popped, 2 do keys[#keys + 1] = popped[i] end
elseif #lines > 1 then
  local found = {}
  for l = 1, #lines do
    local entries = redis.call('ZRANGE', lines[l], 0, limit - 1, 'WITHSCORES')
    for i = 1, #entries, 2 do found[#found + 1] = { tonumber(entries[i + 1]), entries[i], lines[l] } end
  end
  table.sort(found, function(a, b) return a[1] < b[1] or (a[1] == b[1] and precedes(a[2], b[2])) end)
  for i = 1, math.min(limit, #found) do
    keys[i] = found[i][2]
    change('ZREM', found[i][3], keys[i])
  end
end
for i = 1, #keys do change('ZADD', target, score, keys[i]) end
local before, start = many('HMGET', RECORDS, keys), version .. '\\0' .. into .. '\\0' .. score
for i = 1, #keys do
  local lists, head = string.match(before[i], '^[^%z]*%z[^%z]*%z[^%z]*(%z[^%z]*%z[^%z]*%z)[^%z]*(%z.*)$')
  records[i] = start .. lists .. stamp .. head
  change('HSET', RECORDS, keys[i], records[i])
end
writeChanges()
return answer(keys, records)
`
