import { WherryError } from './errors.ts'
import type { Job, JobId } from './job.ts'
import type { JobListOptions, JobPage } from './job-list.ts'
import { type CreateQueueOptions, JobQueue, unsupported } from './job-queue.ts'
import {
  type InspectableJobQueueStrategy,
  isInspectableJobQueueStrategy,
  type JobQueueStrategy,
  type ProcessJob,
} from './job-queue-strategy.ts'
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
  /** Where jobs are kept: a store, a promise of one, or an unstorage `Storage`. Default: memory. */
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
  #started = false

  constructor(options: JobQueueServiceOptions = {}) {
    const { storage, strategy, ...rest } = options
    if (storage !== undefined && strategy !== undefined) {
      throw refusal('make a service', 'it has a storage and a strategy', 'one of them')
    }
    this.#options = options
    this.strategy =
      strategy ?? new KvJobQueueStrategy({ ...rest, storage: storage && storeFrom(storage) })
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
    const name = prefix + options.name
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

  /** Runs jobs as they come, until `stop`. */
  async start(): Promise<void> {
    this.#started = true
    for (const queue of this.#queues.values()) await queue.start()
  }

  /**
   * Claims no more jobs, waits for those under way as long as `gracefulShutdownTimeout` says, then
   * aborts them and gives them back.
   */
  async stop(): Promise<void> {
    this.#started = false
    await Promise.all([...this.#queues.values()].map((queue) => queue.stop()))
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
    return this.#kv('drain').drain(options)
  }

  /**
   * What the store promises about two workers and one job. Known at once when the storage is a
   * store; a promise of it when a store is still being opened.
   */
  get guarantee(): Guarantee | Promise<Guarantee> {
    return this.#kv('tell the guarantee').guarantee
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
    return this.#kv('ask the store').ping()
  }

  /** For runtime adapters: what kind of process this is. */
  attach(attachment: Attachment): void {
    this.#kv('attach to a platform').attach(attachment)
  }

  async findOne(id: JobId): Promise<Job | undefined> {
    return this.#inspectable('find jobs').findOne(id)
  }

  async findMany(options?: JobListOptions): Promise<JobPage> {
    return this.#inspectable('list jobs').findMany(options)
  }

  async findManyById(ids: readonly JobId[]): Promise<Job[]> {
    return this.#inspectable('find jobs').findManyById(ids)
  }

  /** How many jobs of each queue of this process are in each state. */
  async counts(): Promise<Map<string, StateCounts>> {
    return this.#kv('count jobs').counts([...this.#queues.keys()])
  }

  /** Whether each queue of this process is paused. */
  async paused(): Promise<Map<string, boolean>> {
    const names = [...this.#queues.keys()]
    const paused = await this.#kv('tell what is paused').paused(names)
    return new Map(names.map((name, i) => [name, paused[i] === true]))
  }

  /**
   * Cancels a job that is not settled. A running handler's signal aborts within a third of a lease.
   * Answers the job as it is then; undefined when there is none.
   */
  async cancelJob(id: JobId): Promise<Job | undefined> {
    const strategy = this.#inspectable('cancel a job')
    if (typeof strategy.cancelJob === 'function') return strategy.cancelJob(id)
    throw new WherryError(
      'unsupported-by-strategy',
      'Cannot cancel a job: the strategy has no cancelJob',
    )
  }

  /**
   * Lets a settled job run again, as if it had just been added. Undefined when there is none.
   *
   * @throws WherryError `job-unsettled`.
   */
  async retryJob(id: JobId): Promise<Job | undefined> {
    return this.#kv('retry a job').retryJob(id)
  }

  /**
   * Removes one settled job. Answers whether there was one.
   *
   * @throws WherryError `job-unsettled`.
   */
  async removeJob(id: JobId): Promise<boolean> {
    return this.#kv('remove a job').removeJob(id)
  }

  /** Removes settled jobs of these queues (default all) older than then (default now). */
  async removeSettledJobs(queueNames?: readonly string[], olderThan?: Date): Promise<number> {
    return this.#inspectable('remove jobs').removeSettledJobs(queueNames, olderThan)
  }

  #isActive(bare: string, full: string): boolean {
    const { activeQueues = [] } = this.#options
    return activeQueues.length === 0 || activeQueues.includes(bare) || activeQueues.includes(full)
  }

  #inspectable(action: string): InspectableJobQueueStrategy {
    if (isInspectableJobQueueStrategy(this.strategy)) return this.strategy
    throw new WherryError(
      'unsupported-by-strategy',
      `Cannot ${action}: the strategy is not inspectable`,
    )
  }

  #kv(action: string): KvJobQueueStrategy {
    if (this.strategy instanceof KvJobQueueStrategy) return this.strategy
    throw unsupported(action)
  }
}
