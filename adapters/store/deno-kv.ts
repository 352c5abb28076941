/**
 * Jobs in Deno KV: `deno-kv:./jobs.kv`, or the database that Deno Deploy gives an app. Guarantee:
 * `atomic`. On Node and Bun it is the package `@deno/kv`.
 *
 * @module
 */
import { type Clock, neverFalling, type Random } from '../../src/clock.ts'
import { refusal } from '../../src/refusal.ts'
import { assertCommit } from '../../src/store/commit-rules.ts'
import { withParts } from '../../src/store/row.ts'
import { inParallel } from '../../src/store/storage-items.ts'
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
import { VersionSource } from '../../src/store/version-source.ts'
import { systemClock, systemRandom } from '../../src/system.ts'
import { Access } from './deno-kv/access.ts'
import { Commit, type CommitContext } from './deno-kv/commit.ts'
import { type DenoKv, isFile } from './deno-kv/database.ts'
import { countIn, foundIn, Layout, type OwnEntry } from './deno-kv/layout.ts'
import { Recent } from './deno-kv/recent.ts'
import { Texts } from './deno-kv/texts.ts'
import { UnitWrite } from './deno-kv/unit-write.ts'

export type {
  DenoKv,
  DenoKvAtomic,
  DenoKvCheck,
  DenoKvEntry,
  DenoKvKey,
} from './deno-kv/database.ts'

export interface DenoKvStoreOptions {
  /** Begins every key, in braces: 1 to 48 printable characters without any. Default `wherry`. */
  readonly base?: string | undefined
  /** How long an answer may take before its fate counts as unknown, in ms. Default 10,000. */
  readonly timeoutMs?: number | undefined
  readonly clock?: Clock | undefined
  readonly random?: Random | undefined
}

const LIMITS: Omit<Limits, 'unitPuts'> = {
  batchUnits: 200,
  keyBytes: 512,
  partBytes: 8 * 2 ** 20,
  unitBytes: 24 * 2 ** 20,
}
/** So many records with the longest keys fill the bytes of keys that one operation may have. */
const UNIT_PUTS = 50
/** Left for a check of the unit's own and for that of what was written ahead. */
const SPARE_CHECKS = 2
/** Looks at a record whose texts are replaced while they are read. */
const LOOKS_MAX = 20

/**
 * Keeps records in Deno KV. Given a path it opens the database at the first use: a file, on Deno also
 * `''` (its default) or the URL of a server. A `Deno.Kv` that is handed in is used as it is, and stays
 * open when the store closes.
 *
 * Any number of processes may use one file. There are no wake-ups, for `kv.watch` hears of no other
 * process there: a resident worker finds new jobs by its `pollInterval`.
 *
 * @throws WherryError `input-invalid` for a base that is none.
 *
 * @example
 * ```ts
 * const jobs = new JobQueueService({ storage: createDenoKvStore('./jobs.kv') })
 * ```
 */
export function createDenoKvStore(given: string | DenoKv, options: DenoKvStoreOptions = {}): Store {
  return new DenoKvStore(given, options)
}

class DenoKvStore implements Store {
  readonly name = 'deno-kv'
  readonly guarantee: Guarantee
  readonly clock: Store['clock']
  readonly limits: Limits
  readonly #context: CommitContext
  readonly #versions: VersionSource

  constructor(given: string | DenoKv, options: DenoKvStoreOptions) {
    const { base = 'wherry', timeoutMs = 10_000 } = options
    const { clock = systemClock, random = systemRandom } = options
    if (!/^[!-z|~]{1,48}$/.test(base)) {
      const expected = '1 to 48 printable characters without braces'
      throw refusal('open Deno KV', `base is "${base}"`, expected)
    }
    // Each who opens `:memory:` has a database of its own.
    this.guarantee = given === ':memory:' ? 'process' : 'atomic'
    // All who use a file go by the clock of its machine; of others nobody knows.
    this.clock = typeof given === 'string' && isFile(given) ? 'store' : 'local'
    this.#versions = new VersionSource(random)
    const now = neverFalling(clock)
    const layout = new Layout(base)
    const access = new Access(given, layout, { timeoutMs, clock, random })
    this.limits = { unitPuts: Math.min(UNIT_PUTS, access.checksMax - SPARE_CHECKS), ...LIMITS }
    const texts = new Texts(access, layout, now)
    this.#context = { access, layout, now, texts, recent: new Recent() }
  }

  async read({ get = [], parts = [], ranges = [], counts = [] }: Query): Promise<Answer> {
    const { access, layout, now } = this.#context
    const [got, lists, sizes] = await Promise.all([
      this.#get(get, parts, LOOKS_MAX),
      inParallel(ranges, (range) => this.#range(range)),
      access.getMany(counts.map((place) => layout.count(place))),
    ])
    return { now: now(), got, ranges: lists, counts: sizes.map(countIn) }
  }

  async commit(units: readonly (readonly Put[])[]): Promise<(string | null)[]> {
    assertCommit(units, this.limits)
    const writes = units.map((unit) => new UnitWrite(unit, this.#versions.next()))
    const done = await new Commit(this.#context, writes).run()
    return writes.map((write) => (done.has(write) ? write.answer : null))
  }

  operations(): Operations {
    return this.#context.access.operations
  }

  close(): Promise<void> {
    return this.#context.access.close()
  }

  async #range(range: Range): Promise<StoredRecord[]> {
    const { access, layout } = this.#context
    const { limit, reverse = false } = range
    const span = layout.span(range)
    if (span === null || limit <= 0) return []
    const entries = await access.list(span, { limit, reverse })
    return entries.map((entry) => this.#recordIn(entry, [])).filter((record) => record !== null)
  }

  /** A copy in a list has the versionstamp of its record, so it can be remembered as well. */
  #recordIn(entry: OwnEntry, parts: readonly string[]): StoredRecord | null {
    const found = foundIn(entry)
    if (found === null) return null
    this.#context.recent.add(found)
    return withParts(found.row, parts)
  }

  async #get(
    keys: readonly string[],
    names: readonly string[],
    looks: number,
  ): Promise<(StoredRecord | null)[]> {
    const { access, layout, texts } = this.#context
    const entries = await access.getMany(keys.map((key) => layout.record(key)))
    const records = entries.map((entry) => this.#recordIn(entry, names))
    const references = records.flatMap((record) => Object.values(record?.parts ?? {}))
    const known = await texts.read(references)
    const isTorn = (i: number): boolean =>
      Object.values(records[i]?.parts ?? {}).some((reference) => !known.has(reference))
    const torn = keys.filter((_, i) => isTorn(i))
    if (torn.length > 0 && looks === 0) {
      throw new Error(`Cannot read "${torn[0]}": its texts are not there`)
    }
    const again = torn.length > 0 ? await this.#get(torn, names, looks - 1) : []
    return records.map((record, i) =>
      isTorn(i) ? (again.shift() ?? null) : record && withTexts(record, known),
    )
  }
}

/** The record with the texts that its parts refer to. */
function withTexts(record: StoredRecord, texts: ReadonlyMap<string, string>): StoredRecord {
  const parts = Object.entries(record.parts ?? {}).map(([name, reference]) => [
    name,
    texts.get(reference) ?? '',
  ])
  return { ...record, parts: Object.fromEntries(parts) }
}
