/**
 * Jobs in a SQLite-backed Durable Object. Guarantee: `atomic`. A plain job costs five rows written in
 * its whole life, a renewal one.
 *
 * @module
 */
import { DurableObject } from 'cloudflare:workers'
import type { JobQueueService } from '../../src/main.ts'
import { assertCommit } from '../../src/store/commit-rules.ts'
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
import { KVParts, type PartsBinding } from './durable-object/kv-parts.ts'
import { ObjectRecords } from './durable-object/object-records.ts'

/** What an object answers to a commit. */
export interface Committed {
  readonly versions: (string | null)[]
  /** Rows that this took, entries of indexes included: what is billed. */
  readonly rowsWritten: number
}

/** What this store needs of a binding to {@link QueueObject}, or to a class that extends it. */
export interface ObjectNamespace {
  getByName(name: string): {
    read(query: Query): Promise<Answer>
    commit(units: readonly (readonly Put[])[], hint?: Hint): Promise<Committed>
    take(request: Take): Promise<StoredRecord[]>
  }
}

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
/** How long after a drain that failed the object tries again, in ms. */
const RETRY_MS = 5_000

/**
 * Keeps records in a Durable Object, one call a batch. There are no wake-ups: a drain follows each
 * add, or the object's own alarm drains.
 *
 * @example
 * ```ts
 * export { QueueObject } from 'wherry/store/durable-object'
 * export default serve<Env>(async (env) => {
 *   const jobs = new JobQueueService({ storage: createDurableObjectStore(env.QUEUE) })
 *   await jobs.createQueue({ name: 'fetch-page', process: fetchPage })
 *   return jobs
 * })
 * ```
 */
export function createDurableObjectStore(
  namespace: ObjectNamespace,
  { base = 'wherry', parts }: DurableObjectStoreOptions = {},
): Store {
  const store = new DurableObjectStore(namespace, base)
  return parts === undefined ? store : new KVParts(store, parts, base)
}

class DurableObjectStore implements Store {
  readonly name = 'durable-object'
  readonly guarantee = 'atomic'
  readonly clock = 'store'
  readonly limits: Limits = LIMITS
  readonly #namespace: ObjectNamespace
  readonly #base: string
  #operations = NO_OPERATIONS

  constructor(namespace: ObjectNamespace, base: string) {
    this.#namespace = namespace
    this.#base = base
  }

  read(query: Query): Promise<Answer> {
    this.#count({ reads: 1 })
    return this.#object().read(query)
  }

  async commit(units: readonly (readonly Put[])[], hint?: Hint): Promise<(string | null)[]> {
    assertCommit(units, this.limits)
    const versions: (string | null)[] = []
    for (const batch of batchesOf(units)) {
      const committed = await this.#object().commit(batch, hint)
      this.#count({ writes: committed.rowsWritten })
      versions.push(...committed.versions)
    }
    return versions
  }

  take(request: Take): Promise<StoredRecord[]> {
    this.#count({ writes: 1 })
    return this.#object().take(request)
  }

  operations(): Operations {
    return this.#operations
  }

  async close(): Promise<void> {}

  /** Asked for anew each time: a stub that has failed once may stay broken. */
  #object(): ReturnType<ObjectNamespace['getByName']> {
    return this.#namespace.getByName(this.#base)
  }

  #count(more: Partial<Operations>): void {
    this.#operations = addOperations(this.#operations, more)
  }
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

/**
 * The object that holds a store. Bind it, and export it from the Worker's main module:
 *
 * ```toml
 * [[durable_objects.bindings]]
 * name = "QUEUE"
 * class_name = "QueueObject"
 * [[migrations]]
 * tag = "v1"
 * new_sqlite_classes = ["QueueObject"]
 * ```
 *
 * One that extends it with `jobs()` drains by its own alarm, when something falls due and not before:
 *
 * ```ts
 * export class Queue extends QueueObject<Env> {
 *   override async jobs(storage: Store) {
 *     return createJobs(storage, this.env) // the same service as the Worker's, with its handlers
 *   }
 * }
 * ```
 */
export class QueueObject<Env = unknown> extends DurableObject<Env> {
  readonly #records = new ObjectRecords(this.ctx.storage)
  #service: JobQueueService | null = null
  /** When the alarm is set to; undefined: to be asked. */
  #armedFor: number | null | undefined

  /** Makes the service that the alarm drains, on the records of this object. */
  jobs?(storage: Store): JobQueueService | Promise<JobQueueService>

  /** Rows that this object has written since it woke. */
  get rowsWritten(): number {
    return this.#records.rowsWritten
  }

  read(query: Query): Answer {
    return this.#records.read(query)
  }

  async commit(units: readonly (readonly Put[])[], hint?: Hint): Promise<Committed> {
    const before = this.#records.rowsWritten
    const versions = this.#records.commit(units)
    const rowsWritten = this.#records.rowsWritten - before
    const dues = hint?.wake?.map(({ at }) => at) ?? []
    if (dues.length > 0 && versions.some((version) => version)) await this.#arm(Math.min(...dues))
    return { versions, rowsWritten }
  }

  take(request: Take): StoredRecord[] {
    return this.#records.take(request)
  }

  /** Drains what is due, and is set for what comes next. It never throws: that would end it for good. */
  // biome-ignore lint/suspicious/noTsIgnore: an error with the platform's types, none without them
  // @ts-ignore: "override" would be an error where those types are missing, as in a published package
  async alarm(): Promise<void> {
    this.#armedFor = null
    try {
      this.#service ??= await this.#makeService()
      const { nextDueAt } = (await this.#service?.drain()) ?? { nextDueAt: null }
      if (nextDueAt !== null) await this.#arm(nextDueAt.getTime())
    } catch (error) {
      this.#service?.logger.error('An alarm could not drain; trying again', { error })
      await this.#arm(Date.now() + RETRY_MS)
    }
  }

  async #makeService(): Promise<JobQueueService | null> {
    const service = (await this.jobs?.(new OwnStore(this))) ?? null
    service?.attach({ resident: false })
    return service
  }

  /** An alarm that is set is a row written, so it is only ever moved to an earlier time. */
  async #arm(at: number): Promise<void> {
    if (this.jobs === undefined) return
    this.#armedFor ??= await this.ctx.storage.getAlarm()
    if (this.#armedFor !== null && this.#armedFor <= at) return
    this.#armedFor = at
    await this.ctx.storage.setAlarm(at)
  }
}

/** The object as the store of a service inside it. */
class OwnStore implements Store {
  readonly name = 'durable-object'
  readonly guarantee = 'atomic'
  readonly clock = 'store'
  readonly limits: Limits = LIMITS
  readonly #object: QueueObject
  #operations = NO_OPERATIONS

  constructor(object: QueueObject) {
    this.#object = object
  }

  async read(query: Query): Promise<Answer> {
    return this.#object.read(query)
  }

  async commit(units: readonly (readonly Put[])[], hint?: Hint): Promise<(string | null)[]> {
    assertCommit(units, this.limits)
    const { versions, rowsWritten } = await this.#object.commit(units, hint)
    this.#operations = addOperations(this.#operations, { writes: rowsWritten })
    return versions
  }

  async take(request: Take): Promise<StoredRecord[]> {
    return this.#object.take(request)
  }

  operations(): Operations {
    return this.#operations
  }

  async close(): Promise<void> {}
}
