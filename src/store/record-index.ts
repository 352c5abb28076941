import { nextRow, type Row } from './row.ts'
import { compareEntries, type Entry, SortedList } from './sorted-list.ts'
import type { Put, Range } from './store.ts'

/**
 * The ordered lists of a store, in memory: every record, in its place, its tags and by key.
 *
 * Synchronous, so whoever owns an index decides what happens between a check and an application.
 */
export class RecordIndex {
  readonly #rows = new Map<string, Row>()
  readonly #places = new Map<string, SortedList<Entry>>()
  readonly #tags = new Map<string, SortedList<Entry>>()
  readonly #keys = new SortedList<Entry>()

  get(key: string): Row | null {
    return this.#rows.get(key) ?? null
  }

  count(place: string): number {
    return this.#places.get(place)?.size ?? 0
  }

  range(range: Range): Row[] {
    const rows: Row[] = []
    if (range.limit <= 0) return rows
    for (const entry of this.#entries(range)) {
      rows.push(this.#rows.get(entry.key) as Row)
      if (rows.length === range.limit) break
    }
    return rows
  }

  /** Whether every expectation of the unit holds. */
  holds(unit: readonly Put[]): boolean {
    return unit.every((put) => (this.#rows.get(put.key)?.version ?? null) === put.expect)
  }

  /** What the put makes of the record; null when it is dropped. */
  next(put: Put, version: string): Row | null {
    return put.drop ? null : nextRow(this.#rows.get(put.key), put, version)
  }

  /** Puts the row where it belongs, or forgets the key. */
  set(key: string, row: Row | null): void {
    const before = this.#rows.get(key)
    if (before !== undefined) this.#leave(before, row)
    if (row === null) {
      this.#rows.delete(key)
      return
    }
    this.#rows.set(key, row)
    this.#enter(row, before)
  }

  #leave(before: Row, row: Row | null): void {
    if (row === null) this.#keys.delete({ score: 0, key: before.key })
    if (row === null || moved(before, row)) removeFrom(this.#places, before.place, before)
    for (const [tag, score] of Object.entries(before.tags ?? {})) {
      if (row?.tags?.[tag] !== score) removeFrom(this.#tags, tag, { score, key: before.key })
    }
  }

  #enter(row: Row, before: Row | undefined): void {
    const { key, score } = row
    if (before === undefined) this.#keys.add({ score: 0, key })
    if (before === undefined || moved(before, row))
      listOf(this.#places, row.place).add({ score, key })
    for (const [tag, tagScore] of Object.entries(row.tags ?? {})) {
      if (before?.tags?.[tag] !== tagScore) listOf(this.#tags, tag).add({ score: tagScore, key })
    }
  }

  *#entries(range: Range): Generator<Entry> {
    const list = this.#listOf(range)
    if (list === undefined) return
    const { low, high, cursor } = boundsOf(range)
    const order = range.reverse ? -1 : 1
    const [first, last] = range.reverse ? [high, low] : [low, high]
    const start = cursor && compareEntries(cursor, first) * order > 0 ? cursor : first
    for (const entry of range.reverse ? list.descending(start) : list.ascending(start)) {
      if (compareEntries(entry, last) * order > 0) return
      if (cursor === undefined || compareEntries(entry, cursor) !== 0) yield entry
    }
  }

  #listOf({ place, tag, prefix }: Range): SortedList<Entry> | undefined {
    if (prefix !== undefined) return this.#keys
    if (place !== undefined) return this.#places.get(place)
    return tag === undefined ? undefined : this.#tags.get(tag)
  }
}

/** Sorts after every key, since keys are printable ASCII. */
const AFTER_EVERY_KEY = '\uffff'

/** Both ends of a range as entries, inclusive, and its cursor. By key, every score is 0. */
function boundsOf({ prefix, from, to, after }: Range): { low: Entry; high: Entry; cursor?: Entry } {
  const cursor = after && { cursor: { score: prefix === undefined ? after[0] : 0, key: after[1] } }
  if (prefix !== undefined) {
    return {
      low: { score: 0, key: prefix },
      high: { score: 0, key: prefix + AFTER_EVERY_KEY },
      ...cursor,
    }
  }
  return {
    low: { score: from ?? -Infinity, key: '' },
    high: { score: to ?? Infinity, key: AFTER_EVERY_KEY },
    ...cursor,
  }
}

function moved(a: Row, b: Row): boolean {
  return a.place !== b.place || a.score !== b.score
}

function listOf(lists: Map<string, SortedList<Entry>>, name: string): SortedList<Entry> {
  let list = lists.get(name)
  if (list === undefined) {
    list = new SortedList()
    lists.set(name, list)
  }
  return list
}

function removeFrom(lists: Map<string, SortedList<Entry>>, name: string, entry: Entry): void {
  const list = lists.get(name)
  list?.delete(entry)
  if (list?.size === 0) lists.delete(name)
}
