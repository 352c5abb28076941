/**
 * What D1 is asked. It has no transaction that lasts over a round trip, but a batch of statements is
 * one; so whatever a commit has to decide is decided in SQL, from one JSON parameter.
 *
 * Every put of a batch bears the new version of its unit. Versions are never issued twice, so once the
 * records are written the statements that follow know by it which units have won.
 */
import { isWrite } from '../../../src/store/commit-rules.ts'
import type { Put, Range, Take } from '../../../src/store/store.ts'
import { rangeSelect } from '../sql/record.ts'

export interface Asked {
  readonly sql: string
  readonly values: readonly (string | number)[]
}

/** D1 refuses a text of 2 MB; escaped, a character may become six. */
const TEXT_LENGTH_MAX = 250_000

const PUTS = `puts as (
  select value ->> 'unit' as unit, value ->> 'key' as key, value ->> 'expect' as expect,
    value ->> 'kind' as kind, value ->> 'version' as version, value ->> 'place' as place,
    value ->> 'score' as score, value ->> 'stamp' as stamp, value ->> 'head' as head,
    value ->> 'tags' as tags, value ->> 'without' as without
  from json_each(?1)
)`
const WON = `won as (
  select p.unit from puts p left join {records} r on r.key = p.key
  group by p.unit having min(r.version is p.expect)
)`
/** The puts of units that have won, once their records are written. */
const WRITTEN = 'puts p join {records} r on r.key = p.key and r.version = p.version'

const WINNERS = `with ${PUTS}, ${WON} select unit from won`

/** A drop is first a write like any other: by the version that it leaves it is found again. */
const WRITE = `with ${PUTS}, ${WON}
  insert into {records} (key, version, place, score, stamp, head, tags)
  select p.key, p.version, coalesce(p.place, r.place, ''), coalesce(p.score, r.score, 0),
    coalesce(p.stamp, ''), coalesce(p.head, r.head, ''), coalesce(p.tags, r.tags, '{}')
  from puts p join won on won.unit = p.unit left join {records} r on r.key = p.key
  where p.kind <> 'check'
  on conflict (key) do update set version = excluded.version, place = excluded.place,
    score = excluded.score, stamp = excluded.stamp, head = excluded.head, tags = excluded.tags`

const UNTAG = `with ${PUTS} delete from {tags} where key in (
  select p.key from ${WRITTEN} where p.kind = 'drop' or p.tags is not null
)`
const TAG = `with ${PUTS} insert into {tags} (tag, score, key)
  select t.key, t.value, p.key from ${WRITTEN}, json_each(p.tags) t where p.kind = 'write'`
const DROP_SOME_PARTS = `with ${PUTS} delete from {parts} where (key, name) in (
  select p.key, n.value from ${WRITTEN}, json_each(p.without) n
)`
const DROP_PARTS = `with ${PUTS} delete from {parts} where key in (
  select p.key from ${WRITTEN} where p.kind = 'drop'
)`
const DROP = `with ${PUTS} delete from {records} where key in (
  select p.key from ${WRITTEN} where p.kind = 'drop'
)`

const PARTS = `insert into {parts} (key, name, value)
  select p.value ->> 'key', p.value ->> 'name', p.value ->> 'part' from json_each(?1) p
  join {records} r on r.key = p.value ->> 'key' and r.version = p.value ->> 'version' where true
  on conflict (key, name) do update set value = excluded.value`
const LONG_PART = `insert into {parts} (key, name, value)
  select ?1, ?2, ?3 from {records} where key = ?1 and version = ?4
  on conflict (key, name) do update set value = excluded.value`

/**
 * The statements of a commit. The first of each group of units answers the numbers of those that win;
 * `groups` says which they are.
 */
export function commitStatements(
  units: readonly (readonly Put[])[],
  versions: readonly string[],
): { asked: Asked[]; winners: number[] } {
  const asked: Asked[] = []
  const winners: number[] = []
  const rows = units.map((unit, i) =>
    unit.map((put) => JSON.stringify(rowOf(put, i, versions[i] as string))).join(),
  )
  for (const { from, to } of groups(rows.map(({ length }) => length))) {
    const puts = units.slice(from, to).flat()
    const values = [`[${rows.slice(from, to).join()}]`]
    const ask = (sql: string, when = true): void => {
      if (when) asked.push({ sql, values })
    }
    winners.push(asked.length)
    ask(WINNERS)
    if (!puts.some(isWrite)) continue
    const drops = puts.some(({ drop }) => drop)
    const tagged = puts.some(({ tags }) => tags !== undefined)
    ask(WRITE)
    ask(UNTAG, drops || tagged)
    ask(TAG, tagged)
    ask(
      DROP_SOME_PARTS,
      puts.some(({ parts }) => Object.values(parts ?? {}).includes(null)),
    )
    asked.push(...partStatements(units.slice(from, to), versions.slice(from, to)))
    ask(DROP_PARTS, drops)
    ask(DROP, drops)
  }
  return { asked, winners }
}

function partStatements(units: readonly (readonly Put[])[], versions: readonly string[]): Asked[] {
  const written = units.flatMap((unit, i) =>
    unit.flatMap((put) => partsOf(put, versions[i] as string)),
  )
  const isLong = ({ part }: Part): boolean => part.length > TEXT_LENGTH_MAX / 2
  const rows = written.filter((one) => !isLong(one)).map((one) => JSON.stringify(one))
  return [
    ...groups(rows.map(({ length }) => length)).map(({ from, to }) => ({
      sql: PARTS,
      values: [`[${rows.slice(from, to).join()}]`],
    })),
    ...written.filter(isLong).map(({ key, name, part, version }) => ({
      sql: LONG_PART,
      values: [key, name, part, version],
    })),
  ]
}

interface Part {
  readonly key: string
  readonly name: string
  readonly part: string
  readonly version: string
}

/** The parts that a put writes. */
function partsOf({ key, drop, parts = {} }: Put, version: string): Part[] {
  if (drop) return []
  return Object.entries(parts).flatMap(([name, part]) =>
    part === null ? [] : [{ key, name, part: part.toWellFormed(), version }],
  )
}

/** Cuts what comes in a row into texts that D1 takes. */
function groups(lengths: readonly number[]): { from: number; to: number }[] {
  const cuts: { from: number; to: number }[] = []
  let from = 0
  let sum = 0
  lengths.forEach((length, i) => {
    if (sum > 0 && sum + length > TEXT_LENGTH_MAX) {
      cuts.push({ from, to: i })
      from = i
      sum = 0
    }
    sum += length
  })
  if (from < lengths.length) cuts.push({ from, to: lengths.length })
  return cuts
}

/** A put as the statements take it: what is absent is kept. */
function rowOf(put: Put, unit: number, version: string): object {
  const { key, expect, place, score, stamp, head, tags, parts = {} } = put
  const kind = put.drop ? 'drop' : isWrite(put) ? 'write' : 'check'
  const without = Object.keys(parts).filter((name) => parts[name] === null)
  return {
    ...{ unit, key, expect, kind, version, place, score, tags },
    stamp: stamp?.toWellFormed(),
    head: head?.toWellFormed(),
    ...(without.length > 0 && { without }),
  }
}

export const NOW: Asked = {
  sql: `select cast(unixepoch('subsec') * 1000 as integer) as now`,
  values: [],
}

export function getStatement(keys: readonly string[]): Asked {
  const sql = `select r.* from json_each(?1) k join {records} r on r.key = k.value`
  return { sql, values: [JSON.stringify(keys)] }
}

/** Parts are rows of their own: two of them together may be longer than a value of D1. */
export function partsStatement(keys: readonly string[], names: readonly string[]): Asked {
  const sql = `select p.* from json_each(?1) k join {parts} p on p.key = k.value
    where p.name in (select value from json_each(?2))`
  return { sql, values: [JSON.stringify(keys), JSON.stringify(names)] }
}

export function countsStatement(places: readonly string[]): Asked {
  const sql = `select (select count(*) from {records} r where r.place = k.value) as n
    from json_each(?1) k order by k.key`
  return { sql, values: [JSON.stringify(places)] }
}

export function rangeStatement(range: Range): Asked {
  const values: (string | number)[] = []
  return { sql: rangeSelect(range, (value) => `?${values.push(value)}`), values }
}

/** The firsts in their order; what is taken of them; its parts. */
export function takeStatements(request: Take, version: string): Asked[] {
  const { from, limit, into, score, stamp, unless = [], parts = [] } = request
  const values: (string | number)[] = []
  const mark = (value: string | number): string => `?${values.push(value)}`
  const firsts = firstsSelect(from, limit, unless, mark)
  const order = { sql: firsts, values: [...values] }
  const sql = `update {records}
    set place = ${mark(into)}, score = ${mark(score)}, stamp = ${mark(stamp)}, version = ${mark(version)}
    where key in (select key from (${firsts})) returning *`
  const partsSql = `select p.* from {records} r join {parts} p on p.key = r.key
    where r.place = ?1 and r.score = ?2 and r.version = ?3
      and p.name in (select value from json_each(?4))`
  return [
    order,
    { sql, values },
    ...(parts.length > 0
      ? [{ sql: partsSql, values: [into, score, version, JSON.stringify(parts)] }]
      : []),
  ]
}

/** Each place is read by its index, no further than the limit. */
function firstsSelect(
  from: readonly string[],
  limit: number,
  unless: readonly string[],
  mark: (value: string | number) => string,
): string {
  const most = mark(limit)
  const lists = from.map(
    (place) => `select * from (
      select key, score from {records} where place = ${mark(place)} order by score, key limit ${most}
    )`,
  )
  return `select key, score from (${lists.join(' union all ')})
    where not exists (
      select 1 from {records} where key in (select value from json_each(${mark(JSON.stringify(unless))}))
    ) order by score, key limit ${most}`
}
