import { randomToken } from '../../../src/clock.ts'
import { isWrite } from '../../../src/store/commit-rules.ts'
import { RecordIndex } from '../../../src/store/record-index.ts'
import { nextRow } from '../../../src/store/row.ts'
import type { Answer, Put, Query, Range, StoredRecord } from '../../../src/store/store.ts'
import { systemClock, systemRandom } from '../../../src/system.ts'

/** A part that is longer lies in rows of its own, of this many characters. */
const CHUNK_CHARS = 500_000
const LOWEST = -Number.MAX_SAFE_INTEGER
/** Comes after every key that starts with a prefix: keys are printable ASCII. */
const AFTER_ASCII = '\x7f'

/**
 * Leased records are in no index: their deadlines live in memory, so that a renewal writes one row.
 * What is billed is rows written, and an entry of an index is one.
 */
const SCHEMA = `
  create table if not exists records (
    key text primary key, version text not null, place text, lease text, score integer not null,
    stamp text not null, head text not null, tags text not null, parts text not null
  ) without rowid;
  create index if not exists by_place on records (place, score, key) where place is not null;
  create table if not exists tags (
    tag text, score integer, key text, primary key (tag, score, key)
  ) without rowid;
  create table if not exists chunks (
    key text, name text, number integer, text text not null, primary key (key, name, number)
  ) without rowid;
`
const COLUMNS = 'key, version, coalesce(place, lease) as place, score, stamp, head, tags'

/** Parts as a record has them: their text, or the number of their chunks. */
type StoredParts = Record<string, string | number>
type SqlValue = ArrayBuffer | string | number | null
type SqlRow = Record<string, SqlValue>

/** What of an object's storage the records need. */
export interface ObjectStorage {
  readonly sql: {
    exec(sql: string, ...values: SqlValue[]): { toArray(): SqlRow[]; readonly rowsWritten: number }
  }
  transactionSync<T>(act: () => T): T
}

/** The records of one object, in its own SQLite. Everything is done in one go, for nobody else can be. */
export class ObjectRecords {
  readonly #storage: ObjectStorage
  /** Where leased records are; null: to be read anew. */
  #leases: RecordIndex | null = null
  /** How many records each other place has; null: to be counted anew. */
  #counts: Map<string, number> | null = null
  #lastNow = 0
  /** Rows that were written, indexes included, since the object was made. */
  rowsWritten = 0

  constructor(storage: ObjectStorage) {
    this.#storage = storage
    storage.sql.exec(SCHEMA)
  }

  read({ get = [], parts = [], ranges = [], counts = [] }: Query): Answer {
    return {
      now: this.now(),
      got: get.map((key) => this.#get(key, parts)),
      ranges: ranges.map((range) => this.#range(range)),
      counts: counts.map((place) => this.#countOf(place)),
    }
  }

  commit(units: readonly (readonly Put[])[]): (string | null)[] {
    return this.#transaction(() => units.map((unit) => this.#commitUnit(unit)))
  }

  /**
   * When something falls due first, what has lapsed included; null: nothing will. With `runnable`,
   * what could run at once is due now.
   */
  nextDue(runnable: boolean): number | null {
    const [row] = this.#exec(`
      select exists (select 1 from records where place >= 'r' and place < 's') as ready,
        (select min(score) from records where place >= 'd' and place < 'e') as due,
        (select min(score) from records where place is null) as lapses
    `)
    const dues = [row?.['due'], row?.['lapses'], runnable && row?.['ready'] ? this.now() : null]
    const known = dues.filter((due) => typeof due === 'number')
    return known.length === 0 ? null : Math.min(...known)
  }

  /** What is in memory must agree with what is stored, also after a transaction that failed. */
  #transaction<T>(act: () => T): T {
    try {
      return this.#storage.transactionSync(act)
    } catch (error) {
      this.#leases = null
      this.#counts = null
      throw error
    }
  }

  /** The object's clock in ms since 1970; it never falls. */
  now(): number {
    this.#lastNow = Math.max(this.#lastNow, systemClock.now())
    return this.#lastNow
  }

  #exec(sql: string, ...values: SqlValue[]): SqlRow[] {
    const cursor = this.#storage.sql.exec(sql, ...values)
    const rows = cursor.toArray()
    this.rowsWritten += cursor.rowsWritten
    return rows
  }

  #get(key: string, parts: readonly string[]): StoredRecord | null {
    const columns = parts.length > 0 ? `${COLUMNS}, parts` : COLUMNS
    const [row] = this.#exec(`select ${columns} from records where key = ?`, key)
    return row === undefined ? null : { ...recordOf(row), parts: this.#partsOf(row, parts) }
  }

  #partsOf(row: SqlRow, names: readonly string[]): Record<string, string> {
    const parts: Record<string, string> = {}
    if (names.length === 0) return parts
    const stored = JSON.parse(String(row['parts'])) as StoredParts
    for (const name of names) {
      const value = stored[name]
      if (typeof value === 'string') parts[name] = value
      else if (value !== undefined) parts[name] = this.#joined(String(row['key']), name)
    }
    return parts
  }

  #joined(key: string, name: string): string {
    const sql = 'select text from chunks where key = ? and name = ? order by number'
    return this.#exec(sql, key, name)
      .map(({ text }) => String(text))
      .join('')
  }

  #range(range: Range): StoredRecord[] {
    if (range.limit <= 0) return []
    if (range.place?.startsWith('l')) return this.#leasedRange(range)
    const { place, tag, prefix, from = LOWEST, to = -LOWEST, after, limit, reverse } = range
    const order = reverse ? 'desc' : 'asc'
    const beyond = reverse ? '<' : '>'
    const most = Number.isFinite(limit) ? limit : -1
    if (prefix !== undefined) {
      const cursor = after ? `and key ${beyond} ?` : ''
      const values = [prefix, prefix + AFTER_ASCII, ...(after ? [after[1]] : []), most]
      const sql = `select ${COLUMNS} from records where key >= ? and key < ? ${cursor} order by key ${order} limit ?`
      return this.#exec(sql, ...values).map(recordOf)
    }
    const cursor = after ? `and (l.score, l.key) ${beyond} (?, ?)` : ''
    const values = [place ?? tag ?? '', from, to, ...(after ?? []), most]
    const tail = `l.score >= ? and l.score <= ? ${cursor} order by l.score ${order}, l.key ${order} limit ?`
    const sql =
      tag === undefined
        ? `select ${COLUMNS} from records l where l.place = ? and ${tail}`
        : `select ${COLUMNS.replace('key, ', 'r.key, ').replace(' score', ' r.score')} from tags l join records r on r.key = l.key where l.tag = ? and ${tail}`
    return this.#exec(sql, ...values).map(recordOf)
  }

  #leasedRange(range: Range): StoredRecord[] {
    return this.#leased()
      .range(range)
      .map(({ key }) => this.#get(key, []) as StoredRecord)
  }

  #countOf(place: string): number {
    if (place.startsWith('l')) return this.#leased().count(place)
    this.#counts ??= new Map(
      this.#exec(
        'select place, count(*) as n from records where place is not null group by place',
      ).map(({ place, n }) => [String(place), Number(n)]),
    )
    return this.#counts.get(place) ?? 0
  }

  #leased(): RecordIndex {
    if (this.#leases !== null) return this.#leases
    this.#leases = new RecordIndex()
    const rows = this.#exec(`select ${COLUMNS} from records where place is null`)
    for (const row of rows) {
      const record = recordOf(row)
      this.#leases.set(record.key, { ...record, parts: {} })
    }
    return this.#leases
  }

  #commitUnit(unit: readonly Put[]): string | null {
    const befores = unit.map(({ key }) => this.#get(key, []))
    if (!unit.every(({ expect }, i) => (befores[i]?.version ?? null) === expect)) return null
    if (!unit.some(isWrite)) return ''
    const version = newVersion()
    unit.forEach((put, i) => {
      if (isWrite(put)) this.#write(put, befores[i] ?? null, version)
    })
    return version
  }

  #write(put: Put, before: StoredRecord | null, version: string): void {
    const after = put.drop
      ? null
      : nextRow(before ? { ...before, parts: {} } : undefined, put, version)
    this.#moveInMemory(before, after)
    this.#writeTags(put.key, before?.tags ?? {}, after?.tags ?? {})
    if (after === null) this.#drop(put.key)
    else this.#store(put, after, before === null)
  }

  #store(put: Put, after: StoredRecord, isNew: boolean): void {
    const isLeased = after.place.startsWith('l')
    const { key, version, score, stamp, head } = after
    const tags = JSON.stringify(after.tags)
    const places = isLeased ? [null, after.place] : [after.place, null]
    if (isNew) {
      const parts = JSON.stringify(this.#writeParts(key, {}, put.parts))
      const values = [key, version, ...places, score, stamp, head, tags, parts]
      this.#exec('insert into records values (?, ?, ?, ?, ?, ?, ?, ?, ?)', ...values)
      return
    }
    const values = [version, ...places, score, stamp, head, tags]
    const set = 'version = ?, place = ?, lease = ?, score = ?, stamp = ?, head = ?, tags = ?'
    if (put.parts === undefined) {
      this.#exec(`update records set ${set} where key = ?`, ...values, key)
      return
    }
    const [stored] = this.#exec('select parts from records where key = ?', key)
    const parts = this.#writeParts(key, JSON.parse(String(stored?.['parts'])), put.parts)
    this.#exec(
      `update records set ${set}, parts = ? where key = ?`,
      ...values,
      JSON.stringify(parts),
      key,
    )
  }

  #drop(key: string): void {
    this.#exec('delete from records where key = ?', key)
    this.#exec('delete from chunks where key = ?', key)
  }

  #writeTags(
    key: string,
    before: Readonly<Record<string, number>>,
    after: Readonly<Record<string, number>>,
  ): void {
    for (const [tag, score] of Object.entries(before)) {
      if (after[tag] === score) continue
      this.#exec('delete from tags where tag = ? and score = ? and key = ?', tag, score, key)
    }
    for (const [tag, score] of Object.entries(after)) {
      if (before[tag] !== score) this.#exec('insert into tags values (?, ?, ?)', tag, score, key)
    }
  }

  /** The parts that the record has then. Long ones are written here. */
  #writeParts(key: string, before: StoredParts, parts: Put['parts'] = {}): StoredParts {
    const after = { ...before }
    for (const [name, text] of Object.entries(parts)) {
      if (typeof before[name] === 'number') {
        this.#exec('delete from chunks where key = ? and name = ?', key, name)
      }
      if (text === null) delete after[name]
      else after[name] = text.length <= CHUNK_CHARS ? text : this.#writeChunks(key, name, text)
    }
    return after
  }

  #writeChunks(key: string, name: string, text: string): number {
    let number = 0
    for (let i = 0; i < text.length; number++) {
      let end = Math.min(i + CHUNK_CHARS, text.length)
      // Half of a character is none to SQLite.
      if (end < text.length && /[\uD800-\uDBFF]/.test(text[end - 1] as string)) end--
      const values = [key, name, number, text.slice(i, end)]
      this.#exec('insert into chunks values (?, ?, ?, ?)', ...values)
      i = end
    }
    return number
  }

  #moveInMemory(before: StoredRecord | null, after: StoredRecord | null): void {
    const leased = after?.place.startsWith('l') ? { ...after, parts: {} } : null
    this.#leased().set((before ?? after)?.key as string, leased)
    for (const [record, step] of [
      [before, -1],
      [after, 1],
    ] as const) {
      if (record === null || record.place.startsWith('l')) continue
      this.#counts?.set(record.place, (this.#counts.get(record.place) ?? 0) + step)
    }
  }
}

function recordOf(row: SqlRow): StoredRecord {
  return {
    key: String(row['key']),
    version: String(row['version']),
    place: String(row['place']),
    score: Number(row['score']),
    stamp: String(row['stamp']),
    head: String(row['head']),
    tags: JSON.parse(String(row['tags'])) as Record<string, number>,
  }
}

function newVersion(): string {
  return randomToken(systemRandom, 16)
}
