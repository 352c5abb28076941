/** What a row of a records table says, and where the lists of records are: alike in every dialect. */
import type { Range, StoredRecord } from '../../../src/store/store.ts'

export type Row = Readonly<Record<string, unknown>>

/**
 * Takes a value for a statement under construction, and answers its placeholder. Values are given in
 * the order in which their placeholders stand, so that a bare `?` will do.
 */
export type Mark = (value: string | number) => string

/** Comes after every key that starts with a prefix: keys are printable ASCII. */
const AFTER_ASCII = '\x7f'

/** The columns of a record, in the table and in what `recordOf` takes. */
export const COLUMNS = 'key, version, place, score, stamp, head, tags'

export function recordOf(row: Row): StoredRecord {
  return {
    key: String(row['key']),
    version: String(row['version']),
    place: String(row['place']),
    score: Number(row['score']),
    stamp: String(row['stamp']),
    head: String(row['head']),
    tags: JSON.parse(String(row['tags'])),
  }
}

/** The tables of a store, for the names in braces. */
export function named(sql: string, base: string): string {
  return sql.replaceAll(/\{(\w+)\}/g, `${base}_$1`)
}

/** The select for a range: no more placeholders than its list, bounds and cursor need. */
export function rangeSelect(range: Range, mark: Mark): string {
  return range.prefix === undefined ? byScore(range, mark) : byKey(range.prefix, range, mark)
}

function byScore({ place, tag, from, to, after, limit, reverse }: Range, mark: Mark): string {
  const { order, beyond } = direction(reverse)
  const list = tag === undefined ? '{records} l' : '{tags} l join {records} r on r.key = l.key'
  const rows = tag === undefined ? 'l' : 'r'
  let where = tag === undefined ? `l.place = ${mark(place ?? '')}` : `l.tag = ${mark(tag)}`
  if (from !== undefined) where += ` and l.score >= ${mark(from)}`
  if (to !== undefined) where += ` and l.score <= ${mark(to)}`
  if (after) where += ` and (l.score, l.key) ${beyond} (${mark(after[0])}, ${mark(after[1])})`
  return `select ${rows}.* from ${list} where ${where}
    order by l.score ${order}, l.key ${order} limit ${mark(rowsMax(limit))}`
}

function byKey(prefix: string, { after, limit, reverse }: Range, mark: Mark): string {
  const { order, beyond } = direction(reverse)
  let where = `l.key >= ${mark(prefix)} and l.key < ${mark(prefix + AFTER_ASCII)}`
  if (after) where += ` and l.key ${beyond} ${mark(after[1])}`
  return `select l.* from {records} l where ${where}
    order by l.key ${order} limit ${mark(rowsMax(limit))}`
}

function direction(reverse: boolean | undefined): { order: string; beyond: string } {
  return reverse ? { order: 'desc', beyond: '<' } : { order: 'asc', beyond: '>' }
}

function rowsMax(limit: number): number {
  return Math.min(Math.max(0, limit), Number.MAX_SAFE_INTEGER)
}
