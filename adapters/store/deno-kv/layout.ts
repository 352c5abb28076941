/**
 * Where everything lies in a database. Keys are tuples, which sort part by part, numbers as numbers.
 *
 *     {base} r <key>                    a record
 *     {base} p <place> <score> <key>    the same in its place: one list gives whole heads
 *     {base} t <tag> <score> <key>      the same for each of its tags
 *     {base} n <place>                  how many records the place has
 *     {base} c <text> <number>          a chunk of a part's text
 *     {base} o <unit>                   chunks that no record names: not yet, or no more
 *     {base} w <store> <lane>           what this lane of a store committed last
 *
 * The braces keep apart what unstorage keeps under the same base.
 */
import { createHash } from 'node:crypto'
import type { Row } from '../../../src/store/row.ts'
import { compareEntries, type Entry } from '../../../src/store/sorted-list.ts'
import type { Range } from '../../../src/store/store.ts'
import type { DenoKvEntry, DenoKvKey } from './database.ts'

/** An entry under a key of ours. */
export interface OwnEntry extends DenoKvEntry {
  readonly key: DenoKvKey
}

/** A record as it was read, and the check by which it is still so. */
export interface Found {
  readonly row: Row
  readonly versionstamp: string
}

/** Names of places and tags that are longer lie under a digest, so that every key fits. */
const NAME_BYTES = 64
const LOWEST = -Number.MAX_SAFE_INTEGER
/** Comes after every key, and after every key that starts with a prefix: keys are printable ASCII. */
const AFTER_ASCII = '\x7f'
/** What follows a key at once. */
const NEXT = '\0'

export class Layout {
  readonly #base: string

  constructor(base: string) {
    this.#base = `{${base}}`
  }

  record(key: string): DenoKvKey {
    return [this.#base, 'r', key]
  }

  inPlace(place: string, score: number, key: string): DenoKvKey {
    return [this.#base, 'p', short(place), whole(score), key]
  }

  inTag(tag: string, score: number, key: string): DenoKvKey {
    return [this.#base, 't', short(tag), whole(score), key]
  }

  count(place: string): DenoKvKey {
    return [this.#base, 'n', short(place)]
  }

  chunk(text: string, number: number): DenoKvKey {
    return [this.#base, 'c', text, number]
  }

  orphans(unit: string): DenoKvKey {
    return [this.#base, 'o', unit]
  }

  lane(store: string, lane: number): DenoKvKey {
    return [this.#base, 'w', store, lane]
  }

  /** All lists of orphans. */
  allOrphans(): { start: DenoKvKey; end: DenoKvKey } {
    return { start: this.orphans(''), end: this.orphans(AFTER_ASCII) }
  }

  /** The stretch of the database that the range names; null when it is empty. */
  span(range: Range): { start: DenoKvKey; end: DenoKvKey } | null {
    const { prefix, place, tag = '' } = range
    const ends = endsOf(range)
    if (ends === null) return null
    const keyOf = ({ score, key }: Entry): DenoKvKey => {
      if (prefix !== undefined) return this.record(key)
      if (place !== undefined) return this.inPlace(place, score, key)
      return this.inTag(tag, score, key)
    }
    return { start: keyOf(ends.start), end: keyOf(ends.end) }
  }
}

/** The start of a range, inclusive, and its end, exclusive; null when nothing is between them. */
function endsOf(range: Range): { start: Entry; end: Entry } | null {
  const { low, high, cursor } = boundsOf(range)
  // A cursor that lies outside of the range bounds nothing.
  const beyond = cursor && { ...cursor, key: cursor.key + NEXT }
  const start = beyond && !range.reverse && compareEntries(beyond, low) > 0 ? beyond : low
  const end = cursor && range.reverse && compareEntries(cursor, high) < 0 ? cursor : high
  return compareEntries(start, end) < 0 ? { start, end } : null
}

/** By key, every score is 0. */
function boundsOf({ prefix, from, to, after }: Range): { low: Entry; high: Entry; cursor?: Entry } {
  const cursor = after && { cursor: { score: prefix === undefined ? after[0] : 0, key: after[1] } }
  if (prefix !== undefined) {
    return {
      low: { score: 0, key: prefix },
      high: { score: 0, key: prefix + AFTER_ASCII },
      ...cursor,
    }
  }
  return {
    low: { score: Math.max(from ?? LOWEST, LOWEST), key: '' },
    high: { score: Math.min(to ?? -LOWEST, -LOWEST), key: AFTER_ASCII },
    ...cursor,
  }
}

/** The first key that can follow this one, which ends in a text. */
export function keyAfter(key: DenoKvKey): DenoKvKey {
  return [...key.slice(0, -1), `${key.at(-1)}${NEXT}`]
}

/** Without a −0, which Deno would sort before 0. */
function whole(score: number): number {
  return score + 0
}

function short(name: string): string {
  if (name.length <= NAME_BYTES) return name
  // No name begins so: they are printable.
  return `\x01${createHash('sha256').update(name).digest('base64url')}`
}

const encoder = new TextEncoder()
const decoder = new TextDecoder()

/** A record as its entries hold it. NUL is in no text. */
export function pack({ version, place, score, stamp, tags, parts, head }: Row): Uint8Array {
  const lists = [JSON.stringify(tags), JSON.stringify(parts)]
  return encoder.encode([version, place, score, stamp, ...lists, head].join('\0'))
}

/** The record in the entry, if there is one. */
export function foundIn(entry: OwnEntry): Found | null {
  const { versionstamp } = entry
  return versionstamp === null ? null : { row: unpack(entry), versionstamp }
}

/** The number in the entry; 0 when there is none. */
export function countIn({ value }: OwnEntry): number {
  return Number((value as { readonly value: bigint } | null)?.value ?? 0)
}

export function unpack({ key, value }: OwnEntry): Row {
  const fields = decoder.decode(value as Uint8Array).split('\0')
  const [version = '', place = '', score, stamp = '', tags = '', parts = '', head = ''] = fields
  return {
    key: String(key.at(-1)),
    version,
    place,
    score: Number(score),
    stamp,
    head,
    tags: JSON.parse(tags) as Record<string, number>,
    parts: JSON.parse(parts) as Record<string, string>,
  }
}
