import { DurableObject } from 'cloudflare:workers'
import { consoleLogger } from '../../../src/logger.ts'
import type { DrainOptions, DrainReport, JobQueueService } from '../../../src/main.ts'
import type { Answer, Hint, Put, Query } from '../../../src/store/store.ts'
import { ObjectRecords } from './object-records.ts'
import type { Committed, ObjectCalls, ObjectNamespace } from './object-store.ts'

/** How long after a drain that failed the object tries again, in ms. */
const RETRY_MS = 5_000

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
