import { compareEntries } from './sorted-list.ts'
import type { Put, Range, StoredRecord } from './store.ts'

/** A record in memory. Its parts are whatever the store that owns it keeps there. */
export interface Row extends StoredRecord {
  readonly parts: Readonly<Record<string, string>>
}

/** The record as a reader sees it: with the named parts alone. */
export function withParts(row: Row, names: readonly string[]): StoredRecord {
  const { parts: stored, ...record } = row
  const parts: Record<string, string> = {}
  for (const name of names) {
    const part = stored[name]
    if (part !== undefined) parts[name] = part
  }
  return { ...record, parts }
}

/** What a put that writes makes of the record. */
export function nextRow(before: Row | undefined, put: Put, version: string): Row {
  return {
    key: put.key,
    version,
    place: put.place ?? before?.place ?? '',
    score: put.score ?? before?.score ?? 0,
    stamp: put.stamp ?? '',
    head: put.head ?? before?.head ?? '',
    parts: mergeParts(before?.parts ?? {}, put.parts),
    tags: put.tags ?? before?.tags ?? {},
  }
}

function mergeParts(before: Row['parts'], parts: Put['parts']): Row['parts'] {
  if (parts === undefined) return before
  const merged = { ...before, ...parts }
  for (const name of Object.keys(merged)) if (merged[name] === null) delete merged[name]
  return merged as Row['parts']
}

/** The rows of a range, of a few that stand in no order. */
export function rowsIn(rows: Iterable<Row>, range: Range): Row[] {
  const { from = -Infinity, to = Infinity, after, limit, reverse } = range
  const byKey = range.prefix !== undefined
  const order = reverse ? -1 : 1
  const cursor = after && { score: byKey ? 0 : after[0], key: after[1] }
  return [...rows]
    .map((row) => ({ row, key: row.key, score: byKey ? 0 : scoreIn(row, range) }))
    .filter((entry) => (byKey ? isUnder(entry, range) : entry.score >= from && entry.score <= to))
    .filter((entry) => !cursor || compareEntries(entry, cursor) * order > 0)
    .sort((a, b) => compareEntries(a, b) * order)
    .slice(0, Math.max(0, limit))
    .map(({ row }) => row)
}

function isUnder({ key }: { readonly key: string }, { prefix = '' }: Range): boolean {
  return key.startsWith(prefix)
}

/** NaN: the row is not in the list. */
function scoreIn(row: Row, { place, tag }: Range): number {
  if (place !== undefined) return row.place === place ? row.score : NaN
  return row.tags?.[tag ?? ''] ?? NaN
}
