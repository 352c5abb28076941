/**
 * Jobs in a SQLite-backed Durable Object. Guarantee: `atomic`. A plain job costs five rows written in
 * its whole life, a renewal one.
 *
 * @module
 */
import { DurableObject } from 'cloudflare:workers'
import { consoleLogger } from '../../src/logger.ts'
import type { DrainOptions, DrainReport, JobQueueService } from '../../src/main.ts'
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
  /** Whether the object runs the jobs itself. */
  readonly drains: boolean
}

/** What an object answers to. */
export interface ObjectCalls {
  read(query: Query): Answer | Promise<Answer>
  commit(units: readonly (readonly Put[])[], hint?: Hint): Promise<Committed>
  take(request: Take): StoredRecord[] | Promise<StoredRecord[]>
  /** Null: the object has no handlers. */
  drain(options: DrainOptions): Promise<DrainReport | null>
}

/** What this store needs of a binding to {@link QueueObject}, or to a class that extends it. */
export interface ObjectNamespace {
  getByName(name: string): ObjectCalls
}

/** A store that may run its own jobs. */
export interface ObjectStore extends Store {
  /** Has the object drain; null: it has no handlers, and whoever has some must claim. */
  drain(options: DrainOptions): Promise<DrainReport | null>
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

  async take(request: Take): Promise<StoredRecord[]> {
    this.#count({ writes: 1 })
    return this.#object().take(request)
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

/** What of the platform's own namespaces tells whose an object is. */
interface Namespace extends ObjectNamespace {
  idFromString(text: string): unknown
  idFromName(name: string): { toString(): string }
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
 * `serve()` of `wherry/runtime/cloudflare` makes one that runs the jobs too. So does a class that
 * extends this one with `jobs()`: its alarm drains when something falls due, and not before.
 */
export class QueueObject<Env extends object = object> extends DurableObject<Env> {
  readonly #records = new ObjectRecords(this.ctx.storage)
  #service: Promise<JobQueueService> | null = null
  /** When the alarm is set to; undefined: to be asked. */
  #armedFor: number | null | undefined

  /**
   * Makes the service whose jobs this object runs. In `env` the object's own binding leads straight to
   * it, so that this may be the very function that makes the service of the Worker.
   */
  jobs?(env: Env): JobQueueService | Promise<JobQueueService>

  /** Whether jobs are run as soon as they are added, or by the cron's next tick. */
  get drainsOnAdd(): boolean {
    return true
  }

  /** Rows that this object has written since it woke. */
  get rowsWritten(): number {
    return this.#records.rowsWritten
  }

  async read(query: Query): Promise<Answer> {
    await this.#heal()
    return this.#records.read(query)
  }

  async commit(units: readonly (readonly Put[])[], hint?: Hint): Promise<Committed> {
    await this.#heal()
    const before = this.#records.rowsWritten
    const versions = this.#records.commit(units)
    const rowsWritten = this.#records.rowsWritten - before
    if (versions.some((version) => version)) await this.#arm(this.#earliest(hint))
    return { versions, rowsWritten, drains: this.jobs !== undefined }
  }

  async take(request: Take): Promise<StoredRecord[]> {
    await this.#heal()
    return this.#records.take(request)
  }

  /** Runs what is due, and is set for what comes next; null: this class has no handlers. */
  async drain(options: DrainOptions = {}): Promise<DrainReport | null> {
    if (this.jobs === undefined) return null
    this.#service ??= this.#makeService(this.jobs)
    const service = await this.#service
    const report = await service.drain(options)
    if (report.nextDueAt !== null) await this.#arm(report.nextDueAt.getTime())
    return report
  }

  /** Drains. It never throws: the platform gives up an alarm that has failed a few times. */
  // biome-ignore lint/suspicious/noTsIgnore: an error with the platform's types, none without them
  // @ts-ignore: "override" would be an error where those types are missing, as in a published package
  async alarm(): Promise<void> {
    this.#armedFor = null
    try {
      await this.drain()
    } catch (error) {
      const service = await this.#service?.catch(() => null)
      const logger = service?.logger ?? consoleLogger
      logger.error('An alarm could not drain; trying again', { error })
      await this.#arm(this.#records.now() + RETRY_MS)
    }
  }

  async #makeService(make: NonNullable<typeof this.jobs>): Promise<JobQueueService> {
    try {
      const service = await make.call(this, this.#insideEnv())
      service.attach({ resident: false })
      return service
    } catch (error) {
      this.#service = null
      throw error
    }
  }

  /** The environment, in which this object is reached without a call over the network. */
  #insideEnv(): Env {
    const env = { ...this.env } as Record<string, unknown>
    const own = String(this.ctx.id)
    for (const [name, binding] of Object.entries(env)) {
      if (!isNamespaceOf(binding, own)) continue
      const getByName = (base: string): ObjectCalls =>
        String(binding.idFromName(base)) === own ? this : binding.getByName(base)
      env[name] = { getByName }
    }
    return env as Env
  }

  /** When the alarm has to be because of a commit; null: it need not be set. */
  #earliest(hint: Hint | undefined): number | null {
    const dues = (hint?.wake ?? []).map(({ at }) => at)
    const wanted = this.drainsOnAdd ? dues : dues.filter((at) => at > this.#records.now())
    return wanted.length === 0 ? null : Math.min(...wanted)
  }

  /** An alarm that is set is a row written, so it is only ever moved to an earlier time. */
  async #arm(at: number | null): Promise<void> {
    if (at === null || this.jobs === undefined) return
    this.#armedFor ??= await this.ctx.storage.getAlarm()
    if (this.#armedFor !== null && this.#armedFor <= at) return
    this.#armedFor = at
    await this.ctx.storage.setAlarm(at)
  }

  /** Once an object has woken: work without an alarm would wait for a cron that there may not be. */
  async #heal(): Promise<void> {
    if (this.jobs === undefined || this.#armedFor !== undefined) return
    this.#armedFor = await this.ctx.storage.getAlarm()
    if (this.#armedFor === null) await this.#arm(this.#records.nextDue(this.drainsOnAdd))
  }
}

/** Whether it is the namespace of the object with this id: another would not know the id. */
function isNamespaceOf(binding: unknown, id: string): binding is Namespace {
  // Asked like this, for every property of a service's binding is a method that calls the service.
  if (Object.prototype.toString.call(binding) !== '[object DurableObjectNamespace]') return false
  try {
    ;(binding as Namespace).idFromString(id)
    return true
  } catch {
    return false
  }
}
