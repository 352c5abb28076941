/**
 * Jobs in a SQLite-backed Durable Object. Guarantee: `atomic`. A plain job costs five rows written in
 * its whole life, a renewal one.
 *
 * @module
 */
import type { DrainOptions, DrainReport } from '../../src/main.ts'
import { assertCommit } from '../../src/store/commit-rules.ts'
import { addOperations, NO_OPERATIONS } from '../../src/store/operations.ts'
import type { Answer, Hint, Limits, Operations, Put, Query } from '../../src/store/store.ts'
import { KVParts, type PartsBinding } from './durable-object/kv-parts.ts'
import type { ObjectCalls, ObjectNamespace, ObjectStore } from './durable-object/object-store.ts'

export type { PartsBinding } from './durable-object/kv-parts.ts'
export type * from './durable-object/object-store.ts'
export { QueueObject } from './durable-object/queue-object.ts'

export interface DurableObjectStoreOptions {
  /** The name of the object: one holds one store. Default `wherry`. */
  readonly base?: string | undefined
  /** Where long parts go, so that they are not written through the object. Default: the object. */
  readonly parts?: PartsBinding | undefined
}

const LIMITS: Limits = {
  unitPuts: 1_000,
  batchUnits: 500,
  keyBytes: 512,
  partBytes: 8 * 2 ** 20,
  unitBytes: 12 * 2 ** 20,
}
/** A call carries 32 MiB at most, and a character is one byte or two. */
const CALL_CHARS = 8_000_000

/**
 * Keeps records in a Durable Object, one call a batch.
 *
 * @example
 * ```ts
 * export { QueueObject } from 'wherry/store/durable-object'
 * const jobs = new JobQueueService({ storage: createDurableObjectStore(env.QUEUE) })
 * ```
 */
export function createDurableObjectStore(
  namespace: ObjectNamespace,
  { base = 'wherry', parts }: DurableObjectStoreOptions = {},
): ObjectStore {
  const store = new DurableObjectStore(namespace, base)
  return parts === undefined ? store : new KVParts(store, parts, base)
}

class DurableObjectStore implements ObjectStore {
  readonly name = 'durable-object'
  readonly guarantee = 'atomic'
  readonly clock = 'store'
  readonly limits: Limits = LIMITS
  readonly #namespace: ObjectNamespace
  readonly #base: string
  /** Whether the object runs the jobs itself, as far as it has said. */
  #drains = false
  #operations = NO_OPERATIONS

  constructor(namespace: ObjectNamespace, base: string) {
    this.#namespace = namespace
    this.#base = base
  }

  async read(query: Query): Promise<Answer> {
    this.#count({ reads: 1 })
    return this.#object().read(query)
  }

  async commit(units: readonly (readonly Put[])[], hint?: Hint): Promise<(string | null)[]> {
    assertCommit(units, this.limits)
    const versions: (string | null)[] = []
    for (const batch of batchesOf(units)) {
      const committed = await this.#object().commit(batch, hint)
      this.#count({ writes: committed.rowsWritten })
      this.#drains = committed.drains
      versions.push(...committed.versions)
    }
    return versions
  }

  async drain({ only, budgetMs, maxJobs }: DrainOptions): Promise<DrainReport | null> {
    // Its alarm has been set for what this process added.
    if (only === 'own') return this.#drains ? NOTHING_DRAINED : null
    return this.#object().drain({ budgetMs, maxJobs })
  }

  operations(): Operations {
    return this.#operations
  }

  async close(): Promise<void> {}

  /** Asked for anew each time: a stub of another request cannot be used, and one that failed may stay broken. */
  #object(): ObjectCalls {
    return this.#namespace.getByName(this.#base)
  }

  #count(more: Partial<Operations>): void {
    this.#operations = addOperations(this.#operations, more)
  }
}

const NOTHING_DRAINED: DrainReport = {
  processed: 0,
  completed: 0,
  failed: 0,
  retried: 0,
  cancelled: 0,
  deferred: 0,
  stoppedBecause: 'empty',
  nextDueAt: null,
  operations: NO_OPERATIONS,
}

/** Units that fit into one call together. */
function batchesOf(units: readonly (readonly Put[])[]): (readonly Put[])[][] {
  const batches: (readonly Put[])[][] = []
  let left = 0
  for (const unit of units) {
    const chars = unit.reduce((sum, put) => sum + charsOf(put), 0)
    if (chars > left || batches.length === 0) {
      batches.push([])
      left = CALL_CHARS
    }
    batches.at(-1)?.push(unit)
    left -= chars
  }
  return batches
}

function charsOf({ key, head = '', parts = {} }: Put): number {
  const lengths = Object.values(parts).map((part) => part?.length ?? 0)
  return lengths.reduce((sum, length) => sum + length, key.length + head.length + 200)
}
