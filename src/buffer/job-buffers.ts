import { AT_HAND } from '../at-hand.ts'
import type { Clock } from '../clock.ts'
import type { Buffering, Companion, JobBuffer } from '../companion.ts'
import type { Job } from '../job.ts'
import type { JobQueueService } from '../job-queue-service.ts'
import type { JobOptions } from '../job-queue-strategy.ts'
import { KvJobQueueStrategy } from '../kv/kv-job-queue-strategy.ts'
import { assertWhole, refusal, shown } from '../refusal.ts'
import type { SubscribableJob, SubscribableSurroundings } from '../subscribable-job.ts'
import { systemClock } from '../system.ts'
import { Ticker } from '../ticker.ts'
import type { BufferBackend } from './buffer-backend.ts'
import { BufferedJob } from './buffered-job.ts'
import { ForeignBuffers } from './foreign-buffers.ts'
import {
  InMemoryJobBufferStorageStrategy,
  type JobBufferStorageStrategy,
} from './job-buffer-storage.ts'
import { StoreBuffers } from './store-buffers.ts'

export interface JobBuffersOptions {
  /**
   * Where buffered jobs wait. Default: the service's own store, which loses none; with a strategy of
   * your own: memory.
   */
  readonly storage?: JobBufferStorageStrategy | undefined
  readonly clock?: Clock | undefined
}

/** How soon a process sees a job that another has put into a buffer, or a flush that was cut off. */
const LOOK_EVERY_MS = 5_000
const ID_LENGTH_MAX = 100

/**
 * The buffers of a service. `service.addBuffer()` makes them; an app that is bundled, or that wants
 * another storage for them, makes them itself.
 *
 * @example
 * ```ts
 * const jobs = new JobQueueService({ storage })
 * new JobBuffers(jobs)
 * jobs.addBuffer({
 *   id: 'index',
 *   flushAfterMs: 5_000,
 *   collect: (job) => job.queueName === 'update-index',
 *   reduce: ([first, ...rest]) => [new Job({ ...first, id: null, data: merge(first, rest) })],
 * })
 * ```
 */
export class JobBuffers implements Companion, Buffering {
  readonly #buffers = new Map<string, JobBuffer>()
  readonly #backend: BufferBackend
  readonly #surroundings: SubscribableSurroundings
  readonly #ticker: Ticker

  constructor(service: JobQueueService, options: JobBuffersOptions = {}) {
    const { strategy, logger } = service
    const inside = strategy instanceof KvJobQueueStrategy ? strategy.inside : null
    const clock = options.clock ?? inside?.clock ?? systemClock
    const storage = options.storage ?? (inside ? null : new InMemoryJobBufferStorageStrategy())
    this.#backend =
      inside !== null && storage === null
        ? new StoreBuffers(inside, logger)
        : new ForeignBuffers({
            storage: storage as JobBufferStorageStrategy,
            strategy,
            clock,
            logger,
          })
    this.#surroundings = { clock, logger, strategy }
    this.#ticker = new Ticker({
      clock,
      now: () => this.#backend.now(),
      logger,
      what: 'flush buffers',
      act: () => this.#act(),
      sleepMsMax: LOOK_EVERY_MS,
    })
    service.join(this)
  }

  /** The service's `start` calls it. */
  start(): void {
    this.#ticker.start()
  }

  /** The service's `stop` calls it. */
  stop(): Promise<void> {
    return this.#ticker.stop()
  }

  /** Flushes the buffers whose time has come. `drain()` calls it. */
  async tick(): Promise<Date | null> {
    const dueAt = await this.#ticker.tick()
    return dueAt === null ? null : new Date(dueAt)
  }

  addBuffer(buffer: JobBuffer): void {
    const { id, flushAfterMs = 1, flushAtSize = 1 } = buffer
    const add = 'add a buffer'
    if (typeof id !== 'string' || id === '' || id.length > ID_LENGTH_MAX || !id.isWellFormed()) {
      throw refusal(add, `its id is ${shown(id)}`, `1 to ${ID_LENGTH_MAX} characters`)
    }
    if (this.#buffers.has(id)) throw refusal(add, `there is one with the id "${id}"`, 'another id')
    assertWhole(add, 'flushAfterMs', flushAfterMs, 1)
    assertWhole(add, 'flushAtSize', flushAtSize, 1)
    this.#buffers.set(id, buffer)
    this.#ticker.wakeAt(0)
  }

  removeBuffer({ id }: JobBuffer): void {
    this.#buffers.delete(id)
  }

  /** Asks every buffer. A job that several collect is in each of them, and comes out of each. */
  async offer(job: Job, options: JobOptions): Promise<SubscribableJob | undefined> {
    const keepers: JobBuffer[] = []
    for (const buffer of this.#buffers.values()) {
      if (await buffer.collect(job)) keepers.push(buffer)
    }
    if (keepers.length === 0) return undefined
    for (const { id } of keepers) await this.#backend.add(id, job, options)
    for (const { flushAfterMs } of keepers) {
      if (flushAfterMs !== undefined) this.#ticker.wakeAt(this.#backend.now() + flushAfterMs)
    }
    await this.#flushFull(keepers)
    return new BufferedJob(job, this.#surroundings)
  }

  bufferSize(...buffers: (JobBuffer | string)[]): Promise<Record<string, number>> {
    return this.#backend.sizes(this.#idsOf(buffers))
  }

  async flush(...buffers: (JobBuffer | string)[]): Promise<Job[]> {
    const added: Job[] = []
    for (const id of this.#idsOf(buffers)) {
      const buffer = this.#buffers.get(id)
      if (buffer !== undefined) added.push(...(await this.#flushOne(buffer)))
    }
    return added
  }

  #idsOf(buffers: readonly (JobBuffer | string)[]): string[] {
    if (buffers.length === 0) return [...this.#buffers.keys()]
    return buffers.map((buffer) => (typeof buffer === 'string' ? buffer : buffer.id))
  }

  #flushOne(buffer: JobBuffer): Promise<Job[]> {
    return this.#backend.flush(buffer.id, (jobs) => buffer.reduce(jobs))
  }

  /** A job that is in its buffer has been added, whatever becomes of a flush. */
  async #flushFull(keepers: readonly JobBuffer[]): Promise<void> {
    const limited = keepers.filter(({ flushAtSize }) => flushAtSize !== undefined)
    if (limited.length === 0) return
    try {
      const sizes = await this.bufferSize(...limited)
      for (const buffer of limited) {
        if ((sizes[buffer.id] ?? 0) >= (buffer.flushAtSize ?? 0)) await this.#flushOne(buffer)
      }
    } catch (error) {
      this.#surroundings.logger.error('Cannot flush a full buffer; its next job tries again', {
        error,
      })
    }
  }

  async #act(): Promise<number | null> {
    const buffers = [...this.#buffers.values()]
    if (buffers.length === 0) return null
    const sights = await this.#backend.look(buffers.map(({ id }) => id))
    let nextDueAt: number | null = null
    for (const [i, buffer] of buffers.entries()) {
      const { oldestAt = null, isCutOff = false } = sights[i] ?? {}
      const { flushAfterMs } = buffer
      const dueAt = oldestAt === null || flushAfterMs === undefined ? null : oldestAt + flushAfterMs
      if (isCutOff || (dueAt !== null && dueAt <= this.#backend.now())) await this.#flushOne(buffer)
      else if (dueAt !== null) nextDueAt = Math.min(dueAt, nextDueAt ?? dueAt)
    }
    return nextDueAt
  }
}

AT_HAND.buffers = (service) => new JobBuffers(service)
