import { isWrite } from '../../../src/store/commit-rules.ts'
import { nextRow, type Row } from '../../../src/store/row.ts'
import type { Put } from '../../../src/store/store.ts'
import { AtomicWrite } from './atomic-write.ts'
import { type Found, type Layout, pack } from './layout.ts'
import { chunkKeys, chunksIn, chunksOf, packOrphans, referenceTo, type Text } from './texts.ts'

/** Texts that are written along with their records: so many bytes, in so many chunks, a unit. */
const ALONG_BYTES = 400_000
const ALONG_CHUNKS = 60

const encoder = new TextEncoder()

/** What a unit comes to, once it is known what there is. */
export interface Draft {
  readonly unit: UnitWrite
  readonly write: AtomicWrite
  /** The records that it writes, as they are then. */
  readonly rows: readonly Row[]
  /** Whether it leaves long texts behind, which are to be deleted after it. */
  readonly leavesTexts: boolean
}

/** A unit of a commit: its puts, and the texts of their parts. */
export class UnitWrite {
  /** New, and so the name of whatever is written for the unit. */
  readonly version: string
  /** Texts that are to be written ahead. */
  readonly ahead: readonly Text[]
  /** With references in the place of texts. */
  readonly puts: readonly Put[]
  readonly #along: readonly Text[]

  constructor(puts: readonly Put[], version: string) {
    this.version = version
    const texts: Text[] = []
    this.puts = puts.map((put) => this.#withReferences(put, texts))
    const ahead = new Set(beyondRoom(texts))
    this.ahead = [...ahead]
    this.#along = texts.filter((text) => !ahead.has(text))
  }

  /** What the commit answers for the unit when it was done. */
  get answer(): string {
    return this.puts.some(isWrite) ? this.version : ''
  }

  /** What the unit does to what was found; null when an expectation fails. */
  draft(layout: Layout, found: ReadonlyMap<string, Found>, now: number): Draft | null {
    const write = new AtomicWrite()
    const rows: Row[] = []
    const left: string[] = []
    for (const put of this.puts) {
      const before = found.get(put.key)
      if ((before?.row.version ?? null) !== put.expect) return null
      write.check(layout.record(put.key), before?.versionstamp ?? null)
      if (!isWrite(put)) continue
      const after = put.drop ? null : nextRow(before?.row, put, this.version)
      if (after !== null) rows.push(after)
      left.push(...change(write, layout, before?.row, after))
    }
    for (const chunk of this.#along.flatMap((text) => chunksOf(layout, text))) write.set(...chunk)
    const list = layout.orphans(this.version)
    if (left.length > 0) write.set(list, packOrphans({ references: left, at: now }))
    else if (this.ahead.length > 0) write.delete(list)
    return { unit: this, write, rows, leavesTexts: left.length > 0 }
  }

  #withReferences(put: Put, texts: Text[]): Put {
    if (put.parts === undefined) return put
    const entries = Object.entries(put.parts).map(([name, part]) => {
      if (part === null) return [name, null] as const
      const text = { id: `${this.version}.${texts.length}`, bytes: encoder.encode(part) }
      texts.push(text)
      return [name, referenceTo(text)] as const
    })
    return { ...put, parts: Object.fromEntries(entries) }
  }
}

/** The texts for which there is no room beside the records. */
function beyondRoom(texts: readonly Text[]): Text[] {
  let [bytes, chunks] = [0, 0]
  return texts.filter((text) => {
    const fits =
      bytes + text.bytes.length <= ALONG_BYTES && chunks + chunksIn(text.bytes) <= ALONG_CHUNKS
    if (!fits) return true
    bytes += text.bytes.length
    chunks += chunksIn(text.bytes)
    return false
  })
}

/** Answers the references of long texts that the record has no more. */
function change(
  write: AtomicWrite,
  layout: Layout,
  before: Row | undefined,
  after: Row | null,
): string[] {
  const staysInPlace = before !== undefined && before.place === after?.place
  if (before !== undefined) {
    if (!staysInPlace) write.sum(layout.count(before.place), -1)
    leave(write, layout, before, after)
  }
  if (after !== null) {
    if (!staysInPlace) write.sum(layout.count(after.place), 1)
    enter(write, layout, after)
  }
  return before === undefined ? [] : dropTexts(write, layout, before, after)
}

/** Deletes the entries of the record that it has no more. */
function leave(write: AtomicWrite, layout: Layout, before: Row, after: Row | null): void {
  if (after === null) write.delete(layout.record(before.key))
  if (before.place !== after?.place || before.score !== after.score) {
    write.delete(layout.inPlace(before.place, before.score, before.key))
  }
  for (const [tag, score] of Object.entries(before.tags ?? {})) {
    if (after?.tags?.[tag] !== score) write.delete(layout.inTag(tag, score, before.key))
  }
}

/** Sets all entries of the record. */
function enter(write: AtomicWrite, layout: Layout, after: Row): void {
  const value = pack(after)
  write.set(layout.record(after.key), value)
  write.set(layout.inPlace(after.place, after.score, after.key), value)
  for (const [tag, score] of Object.entries(after.tags ?? {})) {
    write.set(layout.inTag(tag, score, after.key), value)
  }
}

/** Deletes short texts that the record has no more; answers the references of the long ones. */
function dropTexts(write: AtomicWrite, layout: Layout, before: Row, after: Row | null): string[] {
  const long: string[] = []
  for (const [name, reference] of Object.entries(before.parts)) {
    if (after?.parts[name] === reference) continue
    const [chunk, ...more] = chunkKeys(layout, reference)
    if (more.length > 0) long.push(reference)
    else if (chunk !== undefined) write.delete(chunk)
  }
  return long
}
