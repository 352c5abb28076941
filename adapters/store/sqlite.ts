/**
 * Jobs in an SQLite file: `sqlite:./jobs.db`. Guarantee: `atomic` for all processes of one machine.
 * One adapter for Node, Deno and Bun, by `node:sqlite`, which all three have.
 *
 * @module
 */
import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite'
import { type Clock, type Random, sleep } from '../../src/clock.ts'
import { messageOf, WherryError } from '../../src/errors.ts'
import { assertCommit, isWrite } from '../../src/store/commit-rules.ts'
import { neverFalling, VersionSource } from '../../src/store/memory-store.ts'
import { addOperations, NO_OPERATIONS } from '../../src/store/operations.ts'
import type {
  Answer,
  Guarantee,
  Limits,
  Operations,
  Put,
  Query,
  Range,
  Store,
  StoredRecord,
} from '../../src/store/store.ts'
import { systemClock, systemRandom } from '../../src/system.ts'

export interface SqliteStoreOptions {
  /** Begins the names of the tables: letters, digits and "_". Default `wherry`. */
  readonly base?: string | undefined
  readonly clock?: Clock | undefined
  readonly random?: Random | undefined
}

const LIMITS: Limits = {
  unitPuts: 1_000,
  // A transaction of this many units takes some 10 ms, for which other processes wait.
  batchUnits: 200,
  keyBytes: 512,
  partBytes: 16 * 2 ** 20,
  unitBytes: 64 * 2 ** 20,
}

/**
 * SQLite's own wait for a lock, in ms. It blocks the whole process, so it is short, and the longer
 * wait is ours.
 */
const BUSY_TIMEOUT_MS = 10
/** How long a commit goes on trying for the lock before it is rejected. */
const LOCK_MS_MAX = 10_000
/** SQLITE_BUSY and SQLITE_LOCKED; the rest of an extended code says only why. */
const LOCK_CODES: ReadonlySet<number> = new Set([5, 6])
/** Comes after every key that starts with a prefix: keys are printable ASCII. */
const AFTER_ASCII = '\x7f'

/** Opens the file at the first use, and makes it and its folder when they are not there. */
export function createSqliteStore(path: string, options: SqliteStoreOptions = {}): Store {
  return new SqliteStore(path, options)
}

type Row = Readonly<Record<string, string | number>>

class SqliteStore implements Store {
  readonly name = 'sqlite'
  readonly guarantee: Guarantee
  readonly clock = 'store'
  readonly limits: Limits = LIMITS
  readonly #path: string
  readonly #base: string
  readonly #clock: Clock
  readonly #random: Random
  readonly #now: () => number
  readonly #versions: VersionSource
  readonly #statements = new Map<string, StatementSync>()
  #database: DatabaseSync | null = null
  #synchronous: 'FULL' | 'NORMAL' | null = null
  #operations = NO_OPERATIONS

  constructor(
    path: string,
    { base = 'wherry', clock = systemClock, random = systemRandom }: SqliteStoreOptions,
  ) {
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(base)) {
      throw new WherryError(
        'input-invalid',
        `Cannot open "${path}": base is "${base}", expected letters, digits and "_"`,
      )
    }
    this.#path = path
    this.#base = base
    this.#clock = clock
    this.#random = random
    this.#now = neverFalling(() => clock.now())
    this.#versions = new VersionSource(random)
    // Each connection has a `:memory:` database of its own.
    this.guarantee = path === ':memory:' ? 'process' : 'atomic'
  }

  read({ get = [], parts = [], ranges = [], counts = [] }: Query): Promise<Answer> {
    return this.#unlocked(() => {
      this.#count({ reads: get.length, lists: ranges.length + counts.length })
      return {
        now: this.#now(),
        got: get.map((key) => this.#get(key, parts)),
        ranges: ranges.map((range) => this.#range(range)),
        counts: counts.map((place) => this.#countOf(place)),
      }
    })
  }

  async commit(units: readonly (readonly Put[])[]): Promise<(string | null)[]> {
    assertCommit(units, this.limits)
    return this.#unlocked(() => this.#commit(units))
  }

  operations(): Operations {
    return this.#operations
  }

  async close(): Promise<void> {
    this.#statements.clear()
    this.#database?.close()
    this.#database = null
  }

  #commit(units: readonly (readonly Put[])[]): (string | null)[] {
    const database = this.#open()
    this.#setSynchronous(units.flat().some(addsWork) ? 'FULL' : 'NORMAL')
    database.exec('begin immediate')
    try {
      const versions = units.map((unit) => this.#commitUnit(unit))
      database.exec('commit')
      return versions
    } catch (error) {
      if (database.isTransaction) database.exec('rollback')
      throw error
    }
  }

  #commitUnit(unit: readonly Put[]): string | null {
    const befores = unit.map(({ key }) => this.#head(key))
    if (!unit.every(({ expect }, i) => (befores[i]?.version ?? null) === expect)) return null
    if (!unit.some(isWrite)) return ''
    const version = this.#versions.next()
    unit.forEach((put, i) => {
      if (isWrite(put)) this.#write(put, befores[i] ?? null, version)
    })
    return version
  }

  #write(put: Put, before: StoredRecord | null, version: string): void {
    const { key } = put
    if (put.drop || put.tags) this.#run('delete from {tags} where key = ?', key)
    if (put.drop) {
      this.#run('delete from {parts} where key = ?', key)
      this.#run('delete from {records} where key = ?', key)
      this.#count({ deletes: 1 })
      return
    }
    const { place = '', score = 0, head = '', tags = {} } = { ...before, ...defined(put) }
    this.#run(
      `insert into {records} (key, version, place, score, stamp, head, tags) values (?, ?, ?, ?, ?, ?, ?)
       on conflict (key) do update set version = excluded.version, place = excluded.place,
         score = excluded.score, stamp = excluded.stamp, head = excluded.head, tags = excluded.tags`,
      ...[key, version, place, score, put.stamp ?? '', head, JSON.stringify(tags)],
    )
    for (const [tag, at] of Object.entries(put.tags ?? {})) {
      this.#run('insert into {tags} (tag, score, key) values (?, ?, ?)', tag, at, key)
    }
    for (const [name, part] of Object.entries(put.parts ?? {})) this.#writePart(key, name, part)
    this.#count({ writes: 1 })
  }

  #writePart(key: string, name: string, part: string | null): void {
    if (part === null) this.#run('delete from {parts} where key = ? and name = ?', key, name)
    else
      this.#run(
        'insert or replace into {parts} (key, name, value) values (?, ?, ?)',
        key,
        name,
        part,
      )
  }

  #head(key: string): StoredRecord | null {
    const row = this.#statement('select * from {records} where key = ?').get(key)
    return row === undefined ? null : recordOf(row as Row)
  }

  #get(key: string, names: readonly string[]): StoredRecord | null {
    const record = this.#head(key)
    if (record === null) return null
    const parts: Record<string, string> = {}
    for (const name of names) {
      const row = this.#statement('select value from {parts} where key = ? and name = ?').get(
        key,
        name,
      )
      if (row !== undefined) parts[name] = String((row as Row)['value'])
    }
    return { ...record, parts }
  }

  #range(range: Range): StoredRecord[] {
    const { sql, values } = rangeQuery(range)
    return this.#statement(sql)
      .all(...values)
      .map((row) => recordOf(row as Row))
  }

  #countOf(place: string): number {
    const row = this.#statement('select count(*) as n from {records} where place = ?').get(place)
    return Number((row as Row)['n'])
  }

  #run(sql: string, ...values: SQLInputValue[]): void {
    this.#statement(sql).run(...values)
  }

  #statement(sql: string): StatementSync {
    let statement = this.#statements.get(sql)
    if (statement === undefined) {
      statement = this.#open().prepare(sql.replaceAll(/\{(\w+)\}/g, `${this.#base}_$1`))
      this.#statements.set(sql, statement)
    }
    return statement
  }

  #open(): DatabaseSync {
    if (this.#database !== null) return this.#database
    if (this.#path !== ':memory:') mkdirSync(dirname(this.#path), { recursive: true })
    const database = new DatabaseSync(this.#path)
    try {
      database.exec(`pragma busy_timeout = ${BUSY_TIMEOUT_MS}`)
      database.exec('pragma journal_mode = wal')
      database.exec('begin immediate')
      database.exec(SCHEMA.replaceAll(/\{(\w+)\}/g, `${this.#base}_$1`))
      database.exec('commit')
    } catch (error) {
      database.close()
      throw error
    }
    this.#database = database
    return database
  }

  /** New jobs survive a power cut; a claim that is lost to one only means that the job runs again. */
  #setSynchronous(mode: 'FULL' | 'NORMAL'): void {
    if (this.#synchronous === mode) return
    this.#open().exec(`pragma synchronous = ${mode}`)
    this.#synchronous = mode
  }

  /** Acts, again and again while another process holds the lock, without blocking this one. */
  async #unlocked<T>(act: () => T): Promise<T> {
    const deadline = this.#clock.monotonic() + LOCK_MS_MAX
    for (let attempt = 1; ; attempt++) {
      try {
        return act()
      } catch (error) {
        if (!isLock(error)) throw error
        if (this.#clock.monotonic() >= deadline) {
          throw new WherryError(
            'store-unavailable',
            `Cannot lock "${this.#path}": after ${LOCK_MS_MAX} ms ${messageOf(error)}`,
            { cause: error },
          )
        }
      }
      // Jitter keeps claimers apart; a fair turn matters more than a quick one.
      await sleep(this.#clock, 1 + this.#random() * Math.min(25, 4 * attempt))
    }
  }

  #count(more: Partial<Operations>): void {
    this.#operations = addOperations(this.#operations, more)
  }
}

const SCHEMA = `
  create table if not exists {records} (
    key text primary key, version text not null, place text not null, score integer not null,
    stamp text not null, head text not null, tags text not null
  ) without rowid;
  create index if not exists {by_place} on {records} (place, score, key);
  create table if not exists {parts} (key text not null, name text not null, value text not null, primary key (key, name));
  create table if not exists {tags} (tag text not null, score integer not null, key text not null, primary key (tag, score, key)) without rowid;
  create index if not exists {tags_by_key} on {tags} (key);
`

function isLock(error: unknown): boolean {
  const { errcode } = error as { errcode?: unknown }
  return typeof errcode === 'number' && LOCK_CODES.has(errcode & 0xff)
}

/** A new record that is work, and not a setting. */
function addsWork({ expect, place }: Put): boolean {
  return expect === null && place !== undefined && !place.startsWith('k')
}

function defined(put: Put): Partial<Put> {
  return Object.fromEntries(Object.entries(put).filter(([, value]) => value !== undefined))
}

function recordOf(row: Row): StoredRecord {
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

/** The statement for a range, with as many placeholders as its list and cursor need. */
function rangeQuery(range: Range): { sql: string; values: SQLInputValue[] } {
  const order = range.reverse ? 'desc' : 'asc'
  const beyond = range.reverse ? '<' : '>'
  if (range.prefix !== undefined) return prefixQuery(range.prefix, range, order, beyond)
  const { from = Number.MIN_SAFE_INTEGER, to = Number.MAX_SAFE_INTEGER, after, limit } = range
  const list = range.place !== undefined ? 'r.place = ?' : 't.tag = ?'
  const column = range.place !== undefined ? 'r' : 't'
  const join = range.place !== undefined ? '' : 'join {tags} t on t.key = r.key'
  const cursor = after === undefined ? '' : `and (${column}.score, ${column}.key) ${beyond} (?, ?)`
  return {
    sql: `select r.* from {records} r ${join} where ${list} and ${column}.score >= ? and ${column}.score <= ? ${cursor}
          order by ${column}.score ${order}, ${column}.key ${order} limit ?`,
    values: [range.place ?? range.tag ?? '', from, to, ...(after ?? []), Math.max(0, limit)],
  }
}

function prefixQuery(
  prefix: string,
  { after, limit }: Range,
  order: string,
  beyond: string,
): { sql: string; values: SQLInputValue[] } {
  const cursor = after === undefined ? '' : `and key ${beyond} ?`
  return {
    sql: `select * from {records} where key >= ? and key < ? ${cursor} order by key ${order} limit ?`,
    values: [
      prefix,
      prefix + AFTER_ASCII,
      ...(after === undefined ? [] : [after[1]]),
      Math.max(0, limit),
    ],
  }
}
