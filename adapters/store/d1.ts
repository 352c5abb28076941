/**
 * Jobs in Cloudflare D1. Guarantee: `atomic`, for all Workers that have the database bound. Every
 * commit is one batch, which D1 runs as one transaction.
 *
 * @module
 */
import type { Random } from '../../src/clock.ts'
import { refusal } from '../../src/refusal.ts'
import { assertCommit, isWrite } from '../../src/store/commit-rules.ts'
import { addOperations, NO_OPERATIONS } from '../../src/store/operations.ts'
import type {
  Answer,
  Limits,
  Operations,
  Put,
  Query,
  Store,
  StoredRecord,
  Take,
} from '../../src/store/store.ts'
import { VersionSource } from '../../src/store/version-source.ts'
import { systemRandom } from '../../src/system.ts'
import {
  type Asked,
  commitStatements,
  countsStatement,
  getStatement,
  NOW,
  partsStatement,
  rangeStatement,
  takeStatements,
} from './d1/statements.ts'
import { named, type Row, recordOf } from './sql/record.ts'
import { tables } from './sql/tables.ts'

/** What of a D1 binding is used. */
export interface D1Binding {
  prepare(sql: string): D1Statement
  batch(statements: D1Statement[]): Promise<{ readonly results?: readonly unknown[] }[]>
}

export interface D1Statement {
  bind(...values: (string | number)[]): D1Statement
}

export interface D1StoreOptions {
  /** Begins the names of the tables: letters, digits and "_". Default `wherry`. */
  readonly base?: string | undefined
  readonly random?: Random | undefined
}

// D1 bills each row that is written.
const TABLES = tables('without rowid')

const LIMITS: Limits = {
  unitPuts: 200,
  batchUnits: 64,
  keyBytes: 512,
  // A row of D1 may have 2,000,000 bytes.
  partBytes: 1_900_000,
  unitBytes: 16 * 2 ** 20,
  // Queries that D1 lets one invocation make on the paid plan; each statement of a batch is one.
  invocationOperations: 1_000,
}

/**
 * Keeps records in D1, in three tables that it makes at the first use. Hand in the binding itself and
 * no session of it: a session may read from a replica that lags.
 *
 * @throws WherryError `input-invalid` for a base that cannot begin the name of a table.
 *
 * @example
 * ```ts
 * const jobs = new JobQueueService({ storage: createD1Store(env.DB) })
 * ```
 */
export function createD1Store(binding: D1Binding, options: D1StoreOptions = {}): Store {
  return new D1Store(binding, options)
}

class D1Store implements Store {
  readonly name = 'd1'
  readonly guarantee = 'atomic'
  readonly clock = 'store'
  readonly limits: Limits = LIMITS
  readonly #binding: D1Binding
  readonly #base: string
  readonly #versions: VersionSource
  #now = 0
  #made = false
  #operations = NO_OPERATIONS

  constructor(binding: D1Binding, { base = 'wherry', random = systemRandom }: D1StoreOptions) {
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(base)) {
      throw refusal('open D1', `base is "${base}"`, 'letters, digits and "_"')
    }
    this.#binding = binding
    this.#base = base
    this.#versions = new VersionSource(random)
  }

  async read({ get = [], parts = [], ranges = [], counts = [] }: Query): Promise<Answer> {
    const asked = [NOW, ...ranges.map(rangeStatement)]
    const ask = (statement: Asked, when: boolean): number => (when ? asked.push(statement) - 1 : -1)
    const atGet = ask(getStatement(get), get.length > 0)
    const atParts = ask(partsStatement(get, parts), get.length > 0 && parts.length > 0)
    const atCounts = ask(countsStatement(counts), counts.length > 0)
    this.#count({ reads: asked.length })
    const answers = await this.#batch(asked)
    this.#now = Math.max(this.#now, Number(answers[0]?.[0]?.['now']))
    const partsOf = partsByKey(answers[atParts])
    const found = new Map(answers[atGet]?.map((row) => [row['key'], recordOf(row)]))
    return {
      now: this.#now,
      got: get.map((key) => {
        const record = found.get(key)
        return record ? { ...record, parts: partsOf(key) } : null
      }),
      ranges: ranges.map((_, i) => (answers[i + 1] ?? []).map(recordOf)),
      counts: (answers[atCounts] ?? []).map((row) => Number(row['n'])),
    }
  }

  async commit(units: readonly (readonly Put[])[]): Promise<(string | null)[]> {
    assertCommit(units, this.limits)
    if (units.length === 0) return []
    const versions = units.map(() => this.#versions.next())
    const { asked, winners } = commitStatements(units, versions)
    this.#count({ writes: asked.length })
    const answers = await this.#batch(asked)
    const won = new Set(winners.flatMap((at) => answers[at]?.map(({ unit }) => Number(unit))))
    return units.map((unit, i) => {
      // A unit of nothing has nothing that could fail.
      if (unit.length > 0 && !won.has(i)) return null
      return unit.some(isWrite) ? (versions[i] as string) : ''
    })
  }

  async take(request: Take): Promise<StoredRecord[]> {
    if (request.from.length === 0) return []
    const asked = takeStatements(request, this.#versions.next())
    this.#count({ writes: asked.length })
    const [order = [], taken = [], parts] = await this.#batch(asked)
    const records = new Map(taken.map((row) => [row['key'], recordOf(row)]))
    const partsOf = partsByKey(parts)
    return order.map(({ key }) => ({
      ...(records.get(key) as StoredRecord),
      parts: partsOf(String(key)),
    }))
  }

  operations(): Operations {
    return this.#operations
  }

  async close(): Promise<void> {}

  /** One transaction, in one round trip; the first brings the tables along. */
  async #batch(asked: readonly Asked[]): Promise<(readonly Row[])[]> {
    const made = this.#made
      ? []
      : TABLES.map((sql) => this.#binding.prepare(named(sql, this.#base)))
    const statements = asked.map(({ sql, values }) => {
      const statement = this.#binding.prepare(named(sql, this.#base))
      return values.length > 0 ? statement.bind(...values) : statement
    })
    const answers = await this.#binding.batch([...made, ...statements])
    this.#made = true
    return answers.slice(made.length).map(({ results }) => (results ?? []) as readonly Row[])
  }

  #count(more: Partial<Operations>): void {
    this.#operations = addOperations(this.#operations, more)
  }
}

function partsByKey(rows: readonly Row[] = []): (key: string) => Record<string, string> {
  const parts = Map.groupBy(rows, ({ key }) => String(key))
  return (key) =>
    Object.fromEntries(
      (parts.get(key) ?? []).map(({ name, value }) => [String(name), String(value)]),
    )
}
