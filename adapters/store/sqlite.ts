/**
 * Jobs in an SQLite file: `sqlite:./jobs.db`. Guarantee: `atomic` for all processes of one machine.
 * One adapter for Node, Deno and Bun, by `node:sqlite`, which all three have.
 *
 * @module
 */
import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite'
import { type Clock, neverFalling, type Random, sleep } from '../../src/clock.ts'
import { messageOf, WherryError } from '../../src/errors.ts'
import { assertCommit, isWrite } from '../../src/store/commit-rules.ts'
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
  Take,
} from '../../src/store/store.ts'
import { VersionSource } from '../../src/store/version-source.ts'
import { systemClock, systemRandom } from '../../src/system.ts'
import { named, type Row, rangeSelect, recordOf } from './sql/record.ts'
import { tables } from './sql/tables.ts'

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

/** Opens the file at the first use, and makes it and its folder when they are not there. */
export function createSqliteStore(path: string, options: SqliteStoreOptions = {}): Store {
  return new SqliteStore(path, options)
}

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
  #closed = false
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
    this.#now = neverFalling(clock)
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
    const mode = units.flat().some(addsWork) ? 'FULL' : 'NORMAL'
    return this.#unlocked(() =>
      this.#transaction(mode, () => units.map((unit) => this.#commitUnit(unit))),
    )
  }

  async take(request: Take): Promise<StoredRecord[]> {
    const { from, unless = [] } = request
    const isStopped = (): boolean => unless.some((key) => this.#head(key) !== null)
    const isEmpty = (): boolean =>
      from.every((place) => this.#range({ place, limit: 1 }).length === 0)
    return this.#unlocked(() => {
      this.#count({ lists: from.length })
      // Who finds nothing must not make others wait for the lock.
      if (isStopped() || isEmpty()) return []
      return this.#transaction('NORMAL', () => (isStopped() ? [] : this.#takeFirst(request)))
    })
  }

  operations(): Operations {
    return this.#operations
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#statements.clear()
    this.#database?.close()
    this.#database = null
  }

  #transaction<T>(mode: 'FULL' | 'NORMAL', act: () => T): T {
    const database = this.#open()
    this.#setSynchronous(mode)
    database.exec('begin immediate')
    try {
      const result = act()
      database.exec('commit')
      return result
    } catch (error) {
      if (database.isTransaction) database.exec('rollback')
      throw error
    }
  }

  #takeFirst({ from, limit, into, score, stamp, parts = [] }: Take): StoredRecord[] {
    const version = this.#versions.next()
    const firsts = from
      .flatMap((place) => this.#range({ place, limit }))
      .sort((a, b) => a.score - b.score || (a.key < b.key ? -1 : 1))
      .slice(0, limit)
    this.#count({ writes: firsts.length })
    return firsts.map((record) => {
      this.#run(
        'update {records} set version = ?, place = ?, score = ?, stamp = ? where key = ?',
        ...[version, into, score, stamp, record.key],
      )
      return {
        ...record,
        version,
        place: into,
        score,
        stamp,
        parts: this.#parts(record.key, parts),
      }
    })
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
    return record && { ...record, parts: this.#parts(key, names) }
  }

  #parts(key: string, names: readonly string[]): Record<string, string> {
    const parts: Record<string, string> = {}
    for (const name of names) {
      const row = this.#statement('select value from {parts} where key = ? and name = ?').get(
        key,
        name,
      )
      if (row !== undefined) parts[name] = String((row as Row)['value'])
    }
    return parts
  }

  #range(range: Range): StoredRecord[] {
    const values: SQLInputValue[] = []
    const mark = (value: SQLInputValue): string => {
      values.push(value)
      return '?'
    }
    const sql = rangeSelect(range, mark)
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
      statement = this.#open().prepare(named(sql, this.#base))
      this.#statements.set(sql, statement)
    }
    return statement
  }

  #open(): DatabaseSync {
    if (this.#closed) throw new Error('The store is closed')
    if (this.#database !== null) return this.#database
    if (this.#path !== ':memory:') mkdirSync(dirname(this.#path), { recursive: true })
    const database = new DatabaseSync(this.#path)
    try {
      database.exec(`pragma busy_timeout = ${BUSY_TIMEOUT_MS}`)
      database.exec('pragma journal_mode = wal')
      database.exec('begin immediate')
      database.exec(named(tables('').join(';'), this.#base))
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
