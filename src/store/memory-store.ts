import { AT_HAND } from '../at-hand.ts'
import { type Clock, neverFalling, type Random } from '../clock.ts'
import { systemClock, systemRandom } from '../system.ts'
import { assertCommit, isWrite } from './commit-rules.ts'
import { addOperations, NO_OPERATIONS } from './operations.ts'
import { RecordIndex } from './record-index.ts'
import { withParts } from './row.ts'
import type { Answer, Hint, Limits, Operations, Put, Query, Store } from './store.ts'
import { VersionSource } from './version-source.ts'
import { WakeBoard } from './wake-board.ts'

export interface MemoryStoreOptions {
  /** Whose `now()` is the store's clock. Default: the system's. */
  readonly clock?: Pick<Clock, 'now' | 'monotonic'> | undefined
  /** Makes versions that no other store has issued. Default: the system's. */
  readonly random?: Random | undefined
}

const LIMITS: Limits = {
  unitPuts: 10_000,
  batchUnits: 1_000,
  keyBytes: 512,
  partBytes: 64 * 2 ** 20,
  unitBytes: 256 * 2 ** 20,
}

/**
 * Keeps records in this process and nowhere else: for tests, and for work that may die with the
 * process. Guarantee: `process`.
 *
 * @example
 * ```ts
 * const jobs = new JobQueueService({ storage: createMemoryStore() })
 * ```
 */
export function createMemoryStore(options: MemoryStoreOptions = {}): Store {
  return new MemoryStore(options)
}

class MemoryStore implements Store {
  readonly name = 'memory'
  readonly guarantee = 'process'
  readonly clock = 'store'
  readonly limits: Limits = LIMITS
  readonly #index = new RecordIndex()
  readonly #wakes = new WakeBoard()
  readonly #versions: VersionSource
  readonly #now: () => number
  #operations = NO_OPERATIONS

  constructor({ clock = systemClock, random = systemRandom }: MemoryStoreOptions) {
    this.#versions = new VersionSource(random)
    this.#now = neverFalling(clock)
  }

  async read({ get = [], parts = [], ranges = [], counts = [] }: Query): Promise<Answer> {
    this.#count({ reads: get.length, lists: ranges.length + counts.length })
    return {
      now: this.#now(),
      got: get.map((key) => {
        const row = this.#index.get(key)
        return row && withParts(row, parts)
      }),
      ranges: ranges.map((range) => this.#index.range(range).map((row) => withParts(row, []))),
      counts: counts.map((place) => this.#index.count(place)),
    }
  }

  async commit(units: readonly (readonly Put[])[], hint?: Hint): Promise<(string | null)[]> {
    assertCommit(units, this.limits)
    const versions = units.map((unit) => this.#commitUnit(unit))
    if (versions.some((version) => version)) this.#wakes.publish(hint)
    return versions
  }

  subscribe(channel: string, hear: (at: number) => void): () => void {
    return this.#wakes.subscribe(channel, hear)
  }

  operations(): Operations {
    return this.#operations
  }

  async close(): Promise<void> {}

  #commitUnit(unit: readonly Put[]): string | null {
    if (!this.#index.holds(unit)) return null
    const writes = unit.filter(isWrite)
    if (writes.length === 0) return ''
    const version = this.#versions.next()
    for (const put of writes) this.#index.set(put.key, this.#index.next(put, version))
    const deletes = writes.filter((put) => put.drop).length
    this.#count({ deletes, writes: writes.length - deletes })
    return version
  }

  #count(more: Partial<Operations>): void {
    this.#operations = addOperations(this.#operations, more)
  }
}

AT_HAND.memoryStore = createMemoryStore
