import { AT_HAND } from './at-hand.ts'
import type { Buffering, Companion, JobBuffer } from './companion.ts'
import type { Job, JobId } from './job.ts'
import type { JobListOptions, JobPage } from './job-list.ts'
import { type CreateQueueOptions, JobQueue, ownStrategy, unsupported } from './job-queue.ts'
import { inspectable, type JobQueueStrategy, type ProcessJob } from './job-queue-strategy.ts'
import type { DrainOptions, DrainReport } from './kv/drain.ts'
import type { StateCounts } from './kv/job-finder.ts'
import {
  type Attachment,
  KvJobQueueStrategy,
  type KvJobQueueStrategyOptions,
} from './kv/kv-job-queue-strategy.ts'
import { assertQueueName } from './kv/layout.ts'
import { consoleLogger, type Logger } from './logger.ts'
import { refusal } from './refusal.ts'
import type { Guarantee, Store } from './store/store.ts'
import { type StorageSource, storeFrom } from './store/store-from.ts'
import { systemClock } from './system.ts'

export interface JobQueueServiceOptions extends Omit<KvJobQueueStrategyOptions, 'storage'> {
  /** Where jobs are kept: a store, a promise of one, or an unstorage `Storage`. Default: memory,
   * which an app that is bundled has to write out. */
  readonly storage?: StorageSource | undefined
  /** Instead of `storage`: a strategy of your own. */
  readonly strategy?: JobQueueStrategy | undefined
  /** Put before the name of every queue, so that two systems can share a store. Default ''. */
  readonly prefix?: string | undefined
  /** The only queues whose jobs this process runs, with or without the prefix. Default: all. */
  readonly activeQueues?: readonly string[] | undefined
}

/**
 * Makes queues, and starts and stops the work on them.
 *
 * Nothing happens until it is asked: constructing a service and creating queues touch no store and
 * set no timer.
 *
 * @example
 * ```ts
 * const jobs = new JobQueueService({ storage: createMemoryStore() })
 * const mail = await jobs.createQueue({ name: 'mail', process: async (job) => send(job.data) })
 * await jobs.start()
 * await mail.add({ to: 'ada@example.org' })
 * ```
 */
export class JobQueueService {
  readonly strategy: JobQueueStrategy
  readonly #options: JobQueueServiceOptions
  readonly #queues = new Map<string, JobQueue>()
  readonly #companions: (Companion & Partial<Buffering>)[] = []
  #started = false

  constructor(options: JobQueueServiceOptions = {}) {
    const { storage, strategy, ...rest } = options
    if (storage !== undefined && strategy !== undefined) {
      throw refusal('make a service', 'it has a storage and a strategy', 'one of them')
    }
    this.#options = options
    this.strategy =
      strategy ?? new KvJobQueueStrategy({ ...rest, storage: storeFrom(storage, rest) })
  }

  /**
   * Makes a queue known. If the service runs, the queue's work begins at once.
   *
   * @throws WherryError `name-invalid`, or `input-invalid` when there is a queue of this name.
   */
  // biome-ignore lint/suspicious/noExplicitAny: inference starts from what the handler says
  async createQueue<Data = any, Result = any>(
    options: CreateQueueOptions<Data, Result>,
  ): Promise<JobQueue<Data, Result>> {
    const { prefix = '', clock = systemClock, logger = consoleLogger } = this.#options
    const name: unknown = typeof options.name === 'string' ? prefix + options.name : options.name
    assertQueueName(name)
    if (this.#queues.has(name)) {
      throw refusal(`create queue "${name}"`, 'there is one', 'another name')
    }
    const { strategy } = this
    const process = this.#isActive(options.name, name)
      ? (options.process as ProcessJob | undefined)
      : undefined
    const queue = new JobQueue<Data, Result>({
      name,
      strategy,
      surroundings: { clock, logger, strategy },
      buffers: () => this.#buffers,
      process: process ?? null,
    })
    if (process !== undefined && strategy instanceof KvJobQueueStrategy) {
      strategy.serve(name, process, options.concurrency)
    }
    // Registered before the first await: callers need not wait to see it.
    this.#queues.set(name, queue)
    if (this.#started) await queue.start()
    return queue
  }

  /** The queues of this process, and whether it runs their jobs as they come. */
  getJobQueues(): { name: string; running: boolean }[] {
    return [...this.#queues.values()].map(({ name, started }) => ({ name, running: started }))
  }

  /** The queue of that name, with or without the prefix. */
  queue(name: string): JobQueue | undefined {
    return this.#queues.get(name) ?? this.#queues.get((this.#options.prefix ?? '') + name)
  }

  /** Whether jobs run as they come. */
  get started(): boolean {
    return this.#started
  }

  /** Runs jobs as they come, until `stop`. */
  async start(): Promise<void> {
    this.#started = true
    for (const one of [...this.#queues.values(), ...this.#companions]) {
      if (this.#started) await one.start()
    }
  }

  /**
   * Claims no more jobs, waits for those under way as long as `gracefulShutdownTimeout` says, then
   * aborts them and gives them back.
   */
  async stop(): Promise<void> {
    this.#started = false
    const all = [...this.#companions, ...this.#queues.values()]
    await Promise.all(all.map((one) => one.stop()))
  }

  /** Stops, and releases what the store opened. The service is not to be used after it. */
  async close(): Promise<void> {
    await this.stop()
    if (this.strategy instanceof KvJobQueueStrategy) await this.strategy.close()
  }

  /** Runs one job, if there is one: `drain({ maxJobs: 1 })`. */
  next(options: Omit<DrainOptions, 'maxJobs'> = {}): Promise<DrainReport> {
    return this.drain({ ...options, maxJobs: 1 })
  }

  /** Runs jobs until there are none, or time or jobs are used up: for cron, alarms, `waitUntil`. */
  async drain(options: DrainOptions = {}): Promise<DrainReport> {
    const strategy = ownStrategy(this.strategy, 'drain')
    const elsewhere = await strategy.drainElsewhere(options)
    if (elsewhere !== null) return elsewhere
    const ticking = options.only ? [] : this.#companions
    const dues = await Promise.all(ticking.map((companion) => companion.tick()))
    const report = await strategy.drain(options)
    return { ...report, nextDueAt: dues.reduce(earlier, report.nextDueAt) }
  }

  /**
   * What the store promises about two workers and one job. Known at once when the storage is a
   * store; a promise of it when a store is still being opened.
   */
  get guarantee(): Guarantee | Promise<Guarantee> {
    return ownStrategy(this.strategy, 'tell the guarantee').guarantee
  }

  /** Where the service says what happened. */
  get logger(): Logger {
    return this.#options.logger ?? consoleLogger
  }

  /**
   * Which store it is, once that is open and has answered.
   *
   * @throws WherryError `store-unavailable`.
   */
  async ping(): Promise<Pick<Store, 'name' | 'guarantee'>> {
    return ownStrategy(this.strategy, 'ask the store').ping()
  }

  /** For a `Scheduler` or `JobBuffers`: starts and stops it with the queues, and lets drains tick it. */
  join(companion: Companion & Partial<Buffering>): void {
    this.#companions.push(companion)
    if (this.#started) companion.start()
  }

  /**
   * Keeps jobs back that the buffer collects, until they are flushed.
   *
   * @throws WherryError `input-invalid` when there is a buffer of its id.
   */
  addBuffer(buffer: JobBuffer): void {
    const buffers = this.#buffers ?? AT_HAND.buffers?.(this)
    if (buffers === undefined) {
      throw refusal('buffer jobs', 'this bundle leaves that out', '`new JobBuffers(service)`')
    }
    buffers.addBuffer(buffer)
  }

  /** Lets the buffer collect no more. What it holds stays until a buffer of its id is flushed. */
  removeBuffer(buffer: JobBuffer): void {
    this.#buffers?.removeBuffer(buffer)
  }

  /** How many jobs are in these buffers; in all, when none is named. */
  async bufferSize(...buffers: (JobBuffer | string)[]): Promise<Record<string, number>> {
    return (await this.#buffers?.bufferSize(...buffers)) ?? {}
  }

  /** Enqueues what these buffers hold (all, when none is named), reduced. Answers the added jobs. */
  async flush(...buffers: (JobBuffer | string)[]): Promise<Job[]> {
    return (await this.#buffers?.flush(...buffers)) ?? []
  }

  /** For runtime adapters: what kind of process this is. */
  attach(attachment: Attachment): void {
    ownStrategy(this.strategy, 'attach to a platform').attach(attachment)
  }

  async findOne(id: JobId): Promise<Job | undefined> {
    return inspectable(this.strategy, 'find jobs').findOne(id)
  }

  async findMany(options?: JobListOptions): Promise<JobPage> {
    return inspectable(this.strategy, 'list jobs').findMany(options)
  }

  async findManyById(ids: readonly JobId[]): Promise<Job[]> {
    return inspectable(this.strategy, 'find jobs').findManyById(ids)
  }

  /** How many jobs of each queue of this process are in each state. */
  async counts(): Promise<Map<string, StateCounts>> {
    return ownStrategy(this.strategy, 'count jobs').counts([...this.#queues.keys()])
  }

  /** Whether each queue of this process is paused. */
  async paused(): Promise<Map<string, boolean>> {
    const names = [...this.#queues.keys()]
    const paused = await ownStrategy(this.strategy, 'tell what is paused').paused(names)
    return new Map(names.map((name, i) => [name, paused[i] === true]))
  }

  /**
   * Cancels a job that is not settled. A running handler's signal aborts within a second, and at the
   * latest within a third of a lease. Answers the job as it is then; undefined when there is none.
   */
  async cancelJob(id: JobId): Promise<Job | undefined> {
    const strategy = inspectable(this.strategy, 'cancel a job')
    if (typeof strategy.cancelJob === 'function') return strategy.cancelJob(id)
    throw unsupported('cancel a job')
  }

  /**
   * Lets a settled job run again, as if it had just been added. Undefined when there is none.
   *
   * @throws WherryError `job-unsettled`.
   */
  async retryJob(id: JobId): Promise<Job | undefined> {
    return ownStrategy(this.strategy, 'retry a job').retryJob(id)
  }

  /**
   * Removes one settled job. Answers whether there was one.
   *
   * @throws WherryError `job-unsettled`.
   */
  async removeJob(id: JobId): Promise<boolean> {
    return ownStrategy(this.strategy, 'remove a job').removeJob(id)
  }

  /** Removes settled jobs of these queues (default all) older than then (default now). */
  async removeSettledJobs(queueNames?: readonly string[], olderThan?: Date): Promise<number> {
    const strategy = inspectable(this.strategy, 'remove jobs')
    const { prefix } = this.#options
    if (queueNames?.length || !prefix || !(strategy instanceof KvJobQueueStrategy)) {
      return strategy.removeSettledJobs(queueNames, olderThan)
    }
    // The other jobs are somebody else's.
    const own = (await strategy.queueNames()).filter((name) => name.startsWith(prefix))
    return own.length === 0 ? 0 : strategy.removeSettledJobs(own, olderThan)
  }

  #isActive(bare: string, full: string): boolean {
    const { activeQueues = [] } = this.#options
    return activeQueues.length === 0 || activeQueues.includes(bare) || activeQueues.includes(full)
  }

  get #buffers(): Buffering | undefined {
    return this.#companions.find((one): one is Companion & Buffering => one.offer !== undefined)
  }
}

function earlier(a: Date | null, b: Date | null): Date | null {
  return a === null || (b !== null && b < a) ? b : a
}
