/**
 * Jobs in PostgreSQL: `postgres://…`. Guarantee: `atomic`. Every commit is one call of a function, in
 * one transaction; a wake-up is a NOTIFY in the same.
 *
 * @module
 */
import { type Clock, type Random, sleep } from '../../src/clock.ts'
import { refusal } from '../../src/refusal.ts'
import { assertCommit, isWrite } from '../../src/store/commit-rules.ts'
import { addOperations, NO_OPERATIONS } from '../../src/store/operations.ts'
import type {
  Answer,
  Hint,
  Limits,
  Operations,
  Put,
  Query,
  Store,
  StoredRecord,
  Take,
} from '../../src/store/store.ts'
import { VersionSource } from '../../src/store/version-source.ts'
import { systemClock, systemRandom } from '../../src/system.ts'
import { Hearing } from './postgres/hearing.ts'
import { COMMIT, SCHEMA, TAKE } from './postgres/schema.ts'
import { COLUMNS, named, type Row, rangeSelect, recordOf } from './sql/record.ts'

/** What of a `pg.Pool` is used. */
export interface PostgresPool {
  /** What the pool connects by: the connection that hears wake-ups is made of the same. */
  readonly options: object
  query(text: string, values?: unknown[]): Promise<{ readonly rows: readonly Row[] }>
}

export interface PostgresStoreOptions {
  /** Begins the names of the tables: `a-z`, `0-9` and "_", 40 at most. Default `wherry`. */
  readonly base?: string | undefined
  /**
   * How long an answer may take before its fate counts as unknown, in ms. Default 10,000. It holds for
   * connections of the store's own; a pool that is handed in has settings of its own.
   */
  readonly timeoutMs?: number | undefined
  readonly clock?: Clock | undefined
  readonly random?: Random | undefined
}

const LIMITS: Limits = {
  unitPuts: 1_000,
  batchUnits: 200,
  keyBytes: 512,
  partBytes: 16 * 2 ** 20,
  unitBytes: 32 * 2 ** 20,
}
/** PostgreSQL has undone such a transaction: serialization_failure and deadlock_detected. */
const UNDONE: ReadonlySet<unknown> = new Set(['40001', '40P01'])
const TRIES_MAX = 10

/**
 * Keeps records in PostgreSQL, in three tables that it makes at the first use. Given a URL it has a
 * pool of its own, by `pg`; a `pg.Pool` that is handed in is used as it is, and stays open when the
 * store closes. Wake-ups are heard on one connection more.
 *
 * @throws WherryError `input-invalid` for a base that cannot begin the name of a table.
 *
 * @example
 * ```ts
 * const jobs = new JobQueueService({ storage: createPostgresStore('postgres://localhost/shop') })
 * ```
 */
export function createPostgresStore(
  given: string | PostgresPool,
  options: PostgresStoreOptions = {},
): Store {
  return new PostgresStore(given, options)
}

type OwnPool = PostgresPool & { end(): Promise<void> }

class PostgresStore implements Store {
  readonly name = 'postgres'
  readonly guarantee = 'atomic'
  readonly clock = 'store'
  readonly limits: Limits = LIMITS
  readonly #given: string | PostgresPool
  readonly #base: string
  readonly #timeoutMs: number
  readonly #clock: Clock
  readonly #random: Random
  readonly #versions: VersionSource
  readonly #hearing: Hearing
  #own: OwnPool | null = null
  #opening: Promise<PostgresPool> | null = null
  #closed = false
  #now = 0
  #operations = NO_OPERATIONS

  constructor(
    given: string | PostgresPool,
    { base = 'wherry', timeoutMs = 10_000, clock, random }: PostgresStoreOptions,
  ) {
    if (!/^[a-z_][a-z0-9_]{0,39}$/.test(base)) {
      throw refusal('open PostgreSQL', `base is "${base}"`, 'a-z, 0-9 and "_", 40 at most')
    }
    this.#given = given
    this.#base = base
    this.#timeoutMs = timeoutMs
    this.#clock = clock ?? systemClock
    this.#random = random ?? systemRandom
    this.#versions = new VersionSource(this.#random)
    const options = typeof given === 'string' ? this.#settings(given) : given.options
    this.#hearing = new Hearing(options, this.#channel, this.#clock)
  }

  async read({ get = [], parts = [], ranges = [], counts = [] }: Query): Promise<Answer> {
    this.#count({ reads: get.length, lists: ranges.length + counts.length })
    const values: unknown[] = []
    const mark = (value: unknown): string => `$${values.push(value)}`
    const selects = [NOW]
    if (get.length > 0) selects.push(`(${getSelect(mark(get), mark(parts))}) as got`)
    if (counts.length > 0) selects.push(`(${countSelect(mark(counts))}) as counts`)
    ranges.forEach((range, i) => {
      selects.push(`(select json_agg(x) from (${rangeSelect(range, mark)}) x) as range_${i}`)
    })
    const [row = {}] = await this.#query(`select ${selects.join(',\n')}`, values)
    this.#now = Math.max(this.#now, Number(row['now']))
    const got = (row['got'] ?? []) as (Row | null)[]
    return {
      now: this.#now,
      got: got.map((found) => found && withParts(found)),
      ranges: ranges.map((_, i) => ((row[`range_${i}`] ?? []) as Row[]).map(recordOf)),
      counts: (row['counts'] ?? []) as number[],
    }
  }

  async commit(units: readonly (readonly Put[])[], hint?: Hint): Promise<(string | null)[]> {
    assertCommit(units, this.limits)
    if (units.length === 0) return []
    this.#count({ writes: 1 })
    const versions = units.map(() => this.#versions.next())
    const puts = units.flatMap((unit, i) => unit.map((put) => rowOf(put, i, versions[i] as string)))
    const wakes = new Set(hint?.wake?.map(({ channel, at }) => `${at} ${channel}`))
    const values = [JSON.stringify(puts), this.#channel, [...wakes]]
    const [row] = await this.#write('select {commit_2}($1, $2, $3) as failed', values)
    const failed = new Set(row?.['failed'] as number[])
    return units.map((unit, i) => {
      if (failed.has(i)) return null
      return unit.some(isWrite) ? (versions[i] as string) : ''
    })
  }

  async take(request: Take): Promise<StoredRecord[]> {
    this.#count({ writes: 1 })
    const { from, limit, into, score, stamp, unless = [], parts = [] } = request
    const version = this.#versions.next()
    const values = [from, limit, into, score, stamp, version, unless, parts]
    const sql = 'select * from {take_1}($1, $2, $3, $4, $5, $6, $7, $8)'
    return (await this.#write(sql, values)).map(withParts)
  }

  subscribe(channel: string, hear: (at: number) => void): () => void {
    return this.#hearing.add(channel, hear)
  }

  operations(): Operations {
    return this.#operations
  }

  async close(): Promise<void> {
    this.#closed = true
    const own = this.#own
    this.#own = null
    await Promise.all([this.#hearing.close(), own?.end()])
  }

  get #channel(): string {
    return `${this.#base}_wake`
  }

  /** Does again what the database itself has undone. */
  async #write(sql: string, values: unknown[]): Promise<readonly Row[]> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#query(sql, values)
      } catch (error) {
        if (attempt === TRIES_MAX || !UNDONE.has((error as { code?: unknown }).code)) throw error
      }
      await sleep(this.#clock, 2 ** attempt * this.#random())
    }
  }

  async #query(sql: string, values: unknown[]): Promise<readonly Row[]> {
    const pool = await this.#open()
    return (await pool.query(named(sql, this.#base), values)).rows
  }

  /** The pool, once the tables are there. */
  async #open(): Promise<PostgresPool> {
    if (this.#closed) throw new Error('The store is closed')
    this.#opening ??= this.#prepare()
    const opening = this.#opening
    try {
      return await opening
    } catch (error) {
      // The database may be there the next time.
      if (this.#opening === opening) this.#opening = null
      throw error
    }
  }

  async #prepare(): Promise<PostgresPool> {
    const pool = typeof this.#given === 'string' ? await this.#connect(this.#given) : this.#given
    const { rows } = await pool.query(named(`select to_regproc('{commit_2}') as made`, this.#base))
    if (rows[0]?.['made'] !== null) return pool
    // One message is one transaction; of two processes the second waits, and then finds it done.
    const lock = `select pg_advisory_xact_lock(hashtextextended('${this.#base}', 7203185));`
    await pool.query(named(`${lock}${SCHEMA}${COMMIT}${TAKE}`, this.#base))
    return pool
  }

  async #connect(url: string): Promise<PostgresPool> {
    const { Pool } = await import('pg')
    if (this.#closed) throw new Error('The store is closed')
    if (this.#own === null) {
      const pool = new Pool(this.#settings(url))
      // Whoever uses the store hears of a lost connection by what they asked for.
      pool.on('error', () => {})
      this.#own = pool
    }
    return this.#own
  }

  #settings(url: string): object {
    return {
      connectionString: url,
      connectionTimeoutMillis: this.#timeoutMs,
      // The server gives up first, so that what was given up is not done later.
      statement_timeout: this.#timeoutMs,
      query_timeout: this.#timeoutMs + 1_000,
      keepAlive: true,
    }
  }

  #count(more: Partial<Operations>): void {
    this.#operations = addOperations(this.#operations, more)
  }
}

const NOW = 'floor(extract(epoch from clock_timestamp()) * 1000)::bigint as now'

function getSelect(keys: string, names: string): string {
  return `select json_agg(r order by k.n) from unnest(${keys}::text[]) with ordinality k(key, n)
    left join lateral (
      select ${COLUMNS}, (
        select json_object_agg(p.name, p.value) from {parts} p
        where p.key = k.key collate "C" and p.name = any(${names}::text[])
      ) as parts from {records} where key = k.key collate "C"
    ) r on true`
}

function countSelect(places: string): string {
  return `select json_agg((select count(*) from {records} where place = k.place collate "C") order by k.n)
    from unnest(${places}::text[]) with ordinality k(place, n)`
}

function withParts(row: Row): StoredRecord {
  return { ...recordOf(row), parts: (row['parts'] ?? {}) as Record<string, string> }
}

/** A put as the commit function takes it: what is absent is kept. */
function rowOf(put: Put, unit: number, version: string): object {
  const { key, expect, place, score, stamp, head, tags, parts = {} } = put
  const kind = put.drop ? 'drop' : isWrite(put) ? 'write' : 'check'
  const entries = Object.entries(parts)
  const written = entries.flatMap(([name, part]) => (part === null ? [] : [[name, mended(part)]]))
  const without = entries.flatMap(([name, part]) => (part === null ? [name] : []))
  return {
    ...{ unit, key, expect, kind, version, place, score, tags },
    stamp: stamp && mended(stamp),
    head: head && mended(head),
    ...(written.length > 0 && { parts: Object.fromEntries(written) }),
    ...(without.length > 0 && { without }),
  }
}

/** Half a surrogate pair is no text to PostgreSQL; the encoders of other stores mend it as well. */
function mended(text: string): string {
  return text.toWellFormed()
}
