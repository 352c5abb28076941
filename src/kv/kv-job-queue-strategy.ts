import { type BackoffStrategy, exponentialBackoff } from '../back-off.ts'
import { type Clock, type Random, TIMER_MS_MAX } from '../clock.ts'
import { Job, type JobConfig, type JobId, type JobSurroundings } from '../job.ts'
import { idGenerator, isId } from '../job-id.ts'
import type { JobListOptions, JobPage } from '../job-list.ts'
import type { InspectableJobQueueStrategy, JobOptions, ProcessJob } from '../job-queue-strategy.ts'
import { consoleLogger, type Logger } from '../logger.ts'
import { assertNumber, assertWhole, refusal } from '../refusal.ts'
import type { Guarantee, Store } from '../store/store.ts'
import { WakeBoard } from '../store/wake-board.ts'
import { systemClock, systemRandom } from '../system.ts'
import { ListedJobs, OwnJobs } from './claim-sources.ts'
import { Claimer } from './claimer.ts'
import { Dispatcher } from './dispatcher.ts'
import { DRAIN_BUDGET_MS, type DrainOptions, type DrainReport, drain } from './drain.ts'
import { JobAdder } from './job-adder.ts'
import { JobEditor } from './job-editor.ts'
import { JobFinder, type StateCounts } from './job-finder.ts'
import { DELAY_MS_MAX } from './job-input.ts'
import type { JobRecord } from './job-record.ts'
import { configOfAdded } from './job-view.ts'
import { Lines } from './lines.ts'
import { Renewals } from './renewals.ts'
import { ResidentWorker } from './resident-worker.ts'
import type { RunnerOptions } from './runner.ts'
import { closed, StoreSession } from './store-session.ts'
import { Upkeep } from './upkeep.ts'

/** One value for every queue, or a function of its name. */
export type PerQueue<T> = T | ((queueName: string) => T)

export interface KvJobQueueStrategyOptions {
  /** Where jobs are kept. */
  readonly storage: Store | PromiseLike<Store>
  /** Jobs of a queue that run at once in this process. Default 1. */
  readonly concurrency?: PerQueue<number> | undefined
  /**
   * How long a job stays its worker's after the worker's last sign of life, in ms. A worker renews
   * after a third of it; a job whose worker died runs again after it. At least 100, and many times
   * what the store takes to answer. Default 30,000.
   */
  readonly leaseMs?: number | undefined
  /** How often to look for jobs where the store tells of none, in ms. Default 200. */
  readonly pollInterval?: PerQueue<number> | undefined
  /**
   * A worker whose handlers are quick claims ahead what its slots do in this time, in ms, so that it
   * need not ask the store between any two. 0: it never holds a job that it does not run. Default 10.
   */
  readonly claimAheadMs?: number | undefined
  /** Default: exponential from 1 s to 1 h. */
  readonly backoffStrategy?: BackoffStrategy | undefined
  /** Overrides the retries of each added job. */
  readonly setRetries?: ((queueName: string, job: Job) => number) | undefined
  /** How long a stop waits for running jobs before it gives them back, in ms. Default 20,000. */
  readonly gracefulShutdownTimeout?: number | undefined
  /** How often a job's worker may vanish before the job has failed. Default 3. */
  readonly maxLapses?: number | undefined
  /** Hears of jobs that this process has added, once they are stored. */
  readonly onAdd?: OnAdd | undefined
  readonly newId?: (() => string) | undefined
  readonly random?: Random | undefined
  readonly clock?: Clock | undefined
  readonly logger?: Logger | undefined
}

export type OnAdd = (queueName: string, ids: readonly string[]) => void

/** What a platform is, to a strategy that runs on it. */
export interface Attachment {
  /** Sees to it that the jobs are drained: on a store that is only `eventual`, they are born leased. */
  readonly onAdd?: OnAdd | undefined
  /** Whether a process lives on between requests. Default true. */
  readonly resident?: boolean | undefined
  /** Has the jobs drained where they are kept, instead of here; null: nobody does that. */
  readonly drain?: ((options: DrainOptions) => Promise<DrainReport | null>) | undefined
}

/** What commits jobs in one unit with records of its own needs of a strategy. */
export interface StrategyInside {
  readonly session: StoreSession
  readonly adder: JobAdder
  readonly surroundings: JobSurroundings
  readonly clock: Clock
  /** Tells whoever waits for jobs that these are stored. */
  announce(records: readonly JobRecord[]): void
}

/**
 * A bundler that defines it as `false`, for a platform where nothing lives on between requests, leaves
 * out the resident worker and all that serves it. It is tested where it is used: bundlers do not
 * follow it through a constant.
 */
declare const WHERRY_RESIDENT: boolean | undefined
/** The same for a platform whose only store is `eventual`: claims from lines are left out as well. */
declare const WHERRY_LINES: boolean | undefined

const LEASE_MS = 30_000
const AHEAD_MS = 10
/** No claim would be believed that takes as long to answer, and each would be given back. */
const LEASE_MS_MIN = 100
/** An edge runtime ends what takes longer. */
const EDGE_TIMEOUT_MS = 30_000
/** What a lease that is never renewed lasts beyond what it has to cover. */
const UNRENEWED_LEASE_MS = 60_000

/**
 * Runs jobs out of a store: claim, run, settle. Every claim is a lease with a fence, so a job whose
 * worker died runs again, and a worker that was cut off changes nothing.
 *
 * @example
 * ```ts
 * const strategy = new KvJobQueueStrategy({ storage: createMemoryStore(), concurrency: 10 })
 * ```
 */
export class KvJobQueueStrategy implements InspectableJobQueueStrategy {
  readonly #options: KvJobQueueStrategyOptions
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #session: StoreSession
  readonly #dispatcher: Dispatcher
  readonly #upkeep: Upkeep
  readonly #claimer: Claimer
  readonly #lines: Lines | null
  readonly #own: OwnJobs
  readonly #adder: JobAdder
  readonly #finder: JobFinder
  readonly #editor: JobEditor
  readonly #worker: ResidentWorker | null
  readonly #renewals: Renewals | null
  readonly #surroundings: JobSurroundings
  readonly #backOff: BackoffStrategy
  /** Who wants to hear of which job. */
  readonly #news = new WakeBoard()
  /** The last call that wanted each queue to be worked on. */
  readonly #wishes = new Map<string, symbol>()
  /** Drains under way, and what ends each. */
  readonly #drains = new Map<Promise<DrainReport>, AbortController>()
  #closed = false
  #attachment: Attachment = {}

  constructor(options: KvJobQueueStrategyOptions) {
    const { clock = systemClock, random = systemRandom, logger = consoleLogger } = options
    const { storage, maxLapses = 3, claimAheadMs: aheadMs = AHEAD_MS } = options
    const make = 'make a service'
    assertWhole(make, 'leaseMs', options.leaseMs ?? LEASE_MS, LEASE_MS_MIN, TIMER_MS_MAX)
    assertNumber(make, 'maxLapses', maxLapses)
    assertNumber(make, 'claimAheadMs', aheadMs)
    this.#options = options
    this.#clock = clock
    this.#logger = logger
    this.#session = new StoreSession({ storage, clock, random, logger })
    const session = this.#session
    this.#surroundings = { clock: { now: () => session.clock.now() }, logger }
    this.#backOff = options.backoffStrategy ?? exponentialBackoff({}, random)
    this.#renewals =
      typeof WHERRY_RESIDENT === 'undefined' || WHERRY_RESIDENT
        ? new Renewals(clock, session.clock)
        : null
    const running: RunnerOptions = {
      session,
      clock,
      logger,
      maxLapses,
      renewals: () => (this.#renews ? this.#renewals : null),
      storesProgress: () => !this.#isEventual,
      backOffMs: (job) => this.#backOffMs(job),
      timeoutMs: () => this.#timeoutMs,
    }
    this.#dispatcher = new Dispatcher({
      running,
      aheadMs: () => (this.#renews ? aheadMs : 0),
      onEnded: (id) => this.#news.tell(id, 0),
    })
    this.#upkeep = new Upkeep({ session, logger, maxLapses })
    this.#claimer = new Claimer({
      session,
      upkeep: this.#upkeep,
      logger,
      leaseMsOf: (record) => this.#leaseMs(record),
    })
    this.#lines =
      typeof WHERRY_LINES === 'undefined' || WHERRY_LINES
        ? new Lines({
            session,
            upkeep: this.#upkeep,
            claimer: this.#claimer,
            leaseMs: () => (this.#renews ? this.#renewedLeaseMs : null),
          })
        : null
    this.#own = new OwnJobs(session, this.#claimer)
    this.#adder = new JobAdder({
      session,
      newId: options.newId ?? idGenerator(() => session.clock.now(), random),
      setRetries: options.setRetries ?? ((_queueName, job) => job.retries),
      bornLeasedMs: (record, store) => this.#bornLeasedMs(record, store),
    })
    this.#finder = new JobFinder(session, this.#surroundings)
    this.#editor = new JobEditor(session)
    this.#worker =
      (typeof WHERRY_RESIDENT === 'undefined' || WHERRY_RESIDENT) && this.#lines !== null
        ? new ResidentWorker({
            session,
            dispatcher: this.#dispatcher,
            source: this.#lines,
            clock,
            random,
            logger,
            pollMs: (queueName) => perQueue(options.pollInterval ?? 200, queueName),
            gracefulShutdownTimeout: options.gracefulShutdownTimeout ?? 20_000,
          })
        : null
  }

  /** What the store can promise; a promise of it until a store that is being opened is open. */
  get guarantee(): Guarantee | Promise<Guarantee> {
    return (
      this.#session.opened?.guarantee ?? this.#session.store().then(({ guarantee }) => guarantee)
    )
  }

  /** Which store it is, once that is open and has answered. */
  async ping(): Promise<Pick<Store, 'name' | 'guarantee'>> {
    const { name, guarantee } = await this.#session.store()
    await this.#session.read({})
    return { name, guarantee }
  }

  /** For what is built upon the queue. */
  get inside(): StrategyInside {
    return {
      session: this.#session,
      adder: this.#adder,
      surroundings: this.#surroundings,
      clock: this.#clock,
      announce: (records) => this.#announce(records),
    }
  }

  /** Tells the strategy what kind of process it runs in. The user's own `onAdd` is heard as well. */
  attach(attachment: Attachment): void {
    this.#attachment = { ...this.#attachment, ...attachment }
  }

  async add<Data>(job: Job<Data>, options: JobOptions = {}): Promise<Job<Data>> {
    const [added] = await this.addMany([{ job, options }])
    return added as Job<Data>
  }

  /**
   * Stores several jobs, in as few round trips as the store allows. All are checked first. `make`
   * gives the answer for each; by default a Job.
   */
  async addMany<Added = Job>(
    additions: readonly { job: Job; options?: JobOptions }[],
    make?: (config: JobConfig) => Added,
  ): Promise<Added[]> {
    const { done, failed } = await this.#adder.add(additions)
    this.#announce(done)
    if (failed) throw failed.reason
    const makeJob = make ?? ((config) => new Job(config, this.#surroundings) as Added)
    return done.map((record) => makeJob(configOfAdded(record)))
  }

  /** Makes this process able to run jobs of the queue, by `drain()` or once it is started. */
  serve(queueName: string, process: ProcessJob, concurrency?: number): void {
    const slots = concurrency ?? perQueue(this.#options.concurrency ?? 1, queueName)
    assertWhole(`serve queue "${queueName}"`, 'concurrency', slots, 1)
    this.#dispatcher.serve(queueName, process, slots)
  }

  async start(queueName: string, process: ProcessJob): Promise<void> {
    const start = 'start a resident worker'
    const cron = 'drain() from a cron trigger'
    const canStay = this.#attachment.resident !== false
    if ((typeof WHERRY_RESIDENT === 'undefined' || WHERRY_RESIDENT) && canStay) {
      const wish = Symbol(queueName)
      this.#wishes.set(queueName, wish)
      const { name, guarantee } = await this.#session.store()
      // Stopped meanwhile, or started again by another call.
      if (this.#wishes.get(queueName) !== wish) return
      if (guarantee === 'eventual') {
        const is = `the store "${name}" has no compare-and-set and dear lists`
        throw refusal(start, is, `${cron}, or another store`, 'unsupported-by-store')
      }
      if (this.#dispatcher.get(queueName)?.process !== process) this.serve(queueName, process)
      this.#worker?.start(queueName)
      return
    }
    const is = 'nothing lives on between requests here'
    throw refusal(start, is, cron, 'unsupported-by-strategy')
  }

  async stop(queueName: string, _process?: ProcessJob): Promise<void> {
    if (typeof WHERRY_RESIDENT === 'undefined' || WHERRY_RESIDENT) {
      this.#wishes.delete(queueName)
      await this.#worker?.stop(queueName)
    }
  }

  /** Ends the drains under way and releases what the store opened. Stop the queues first. */
  async close(): Promise<void> {
    this.#closed = true
    for (const end of this.#drains.values()) end.abort()
    await Promise.allSettled(this.#drains.keys())
    await this.#session.close()
  }

  /** Drains by whoever does it instead of this process; null: nobody does. */
  async drainElsewhere(options: DrainOptions): Promise<DrainReport | null> {
    return (await this.#attachment.drain?.(options)) ?? null
  }

  /** Runs jobs until there are none, or until time, jobs or the platform's bound are used up. */
  async drain(options: DrainOptions = {}): Promise<DrainReport> {
    const queueNames = this.#dispatcher.names()
    await this.#session.store()
    if (this.#closed) throw closed()
    const listed = (): ListedJobs =>
      new ListedJobs(this.#session, this.#claimer, this.#upkeep, queueNames)
    const source =
      options.only === 'own' ? this.#own : ((this.#isEventual ? null : this.#lines) ?? listed())
    const setting = {
      session: this.#session,
      dispatcher: this.#dispatcher,
      clock: this.#clock,
      source,
      queueNames,
    }
    const end = new AbortController()
    const signal = AbortSignal.any([end.signal, options.signal ?? end.signal])
    const draining = drain(setting, { ...options, signal })
    this.#drains.set(draining, end)
    try {
      return await draining
    } finally {
      this.#drains.delete(draining)
    }
  }

  async findOne(id: JobId): Promise<Job | undefined> {
    return this.#finder.findOne(String(id))
  }

  async findMany(options?: JobListOptions): Promise<JobPage> {
    return this.#finder.findMany(options)
  }

  async findManyById(ids: readonly JobId[]): Promise<Job[]> {
    return this.#finder.findManyById(ids.map(String))
  }

  /** Hears when an attempt at the job has ended in this process. Answers how to stop hearing. */
  watch(id: JobId, hear: () => void): () => void {
    return this.#news.subscribe(String(id), hear)
  }

  /** How many jobs of each queue are in each state. */
  async counts(queueNames: readonly string[]): Promise<Map<string, StateCounts>> {
    return this.#finder.counts(queueNames)
  }

  async cancelJob(id: JobId): Promise<Job | undefined> {
    if (!isId(String(id))) return undefined
    const record = await this.#editor.cancel(String(id))
    if (record === null) return undefined
    // A handler in this very process need not wait for its next renewal.
    for (const claim of this.#dispatcher.claims(record.queueName)) {
      if (claim.record.key === record.key) void claim.renew().catch(() => {})
    }
    return this.findOne(id)
  }

  /**
   * Lets a settled job run again: attempts from 0, result and error forgotten.
   *
   * @throws WherryError `job-unsettled`.
   */
  async retryJob(id: JobId): Promise<Job | undefined> {
    if (!isId(String(id))) return undefined
    const record = await this.#editor.retry(String(id))
    if (record === null) return undefined
    this.#worker?.wake()
    return this.findOne(id)
  }

  /**
   * Removes one settled job. Answers whether there was one.
   *
   * @throws WherryError `job-unsettled`.
   */
  async removeJob(id: JobId): Promise<boolean> {
    return isId(String(id)) && this.#editor.remove(String(id))
  }

  async removeSettledJobs(queueNames: readonly string[] = [], olderThan?: Date): Promise<number> {
    const { now } = await this.#session.read({})
    const names = queueNames.length > 0 ? queueNames : await this.#finder.queueNames()
    // Vendure: settled before that date, or before now.
    return this.#editor.removeSettled(names, (olderThan?.getTime() ?? now + 1) - 1)
  }

  /** The queues that the store has ever held jobs of. */
  queueNames(): Promise<string[]> {
    return this.#finder.queueNames()
  }

  /** No job of the queue is begun by anyone until it is resumed. */
  async pause(queueName: string): Promise<void> {
    await this.#editor.pause(queueName)
    if (typeof WHERRY_RESIDENT === 'undefined' || WHERRY_RESIDENT) {
      await this.#worker?.giveBack(queueName)
    }
  }

  async resume(queueName: string): Promise<void> {
    await this.#editor.resume(queueName)
    this.#worker?.wake()
  }

  async paused(queueNames: readonly string[]): Promise<boolean[]> {
    return this.#editor.paused(queueNames)
  }

  get #isEventual(): boolean {
    return this.#session.opened?.guarantee === 'eventual'
  }

  get #timeoutMs(): number | null {
    return this.#attachment.resident === false ? EDGE_TIMEOUT_MS : null
  }

  /** Where nothing lives on between requests, a timer of one must not keep the leases of another. */
  get #renews(): boolean {
    const canStay = this.#attachment.resident !== false
    return (
      (typeof WHERRY_RESIDENT === 'undefined' || WHERRY_RESIDENT) && canStay && !this.#isEventual
    )
  }

  get #renewedLeaseMs(): number {
    return this.#options.leaseMs ?? LEASE_MS
  }

  #leaseMs({ timeoutMs }: JobRecord): number {
    const leaseMs = this.#renewedLeaseMs
    if (this.#renews) return leaseMs
    // It has to cover the whole attempt, and a drain before it where jobs are born leased.
    const unrenewedMs = (timeoutMs ?? this.#timeoutMs ?? EDGE_TIMEOUT_MS) + UNRENEWED_LEASE_MS
    return this.#isEventual ? DRAIN_BUDGET_MS + unrenewedMs : Math.max(leaseMs, unrenewedMs)
  }

  #bornLeasedMs(record: JobRecord, { guarantee }: Store): number | null {
    const drains = guarantee === 'eventual' && this.#drainsOwn(record.queueName)
    return drains ? this.#leaseMs(record) : null
  }

  #drainsOwn(queueName: string): boolean {
    return this.#attachment.onAdd !== undefined && this.#dispatcher.get(queueName) !== undefined
  }

  #backOffMs(job: Job): number {
    const { queueName } = job
    let error: unknown
    try {
      const ms = Math.round(this.#backOff(queueName, job.attempts, job))
      if (Number.isSafeInteger(ms) && ms >= 0) return Math.min(ms, DELAY_MS_MAX)
      error = ms
    } catch (thrown) {
      error = thrown
    }
    this.#logger.error('The back-off strategy gave no time; using 1 s', { error, queueName })
    return 1_000
  }

  #announce(records: readonly JobRecord[]): void {
    const now = this.#session.clock.now()
    for (const record of records) {
      const dueAt = record.life.runAt ?? now
      if (dueAt <= now && this.#drainsOwn(record.queueName)) this.#own.add(record)
      this.#worker?.wakeAt(dueAt)
    }
    for (const hear of [this.#options.onAdd, this.#attachment.onAdd]) {
      if (hear !== undefined) this.#tell(hear, records)
    }
  }

  #tell(hear: OnAdd, records: readonly JobRecord[]): void {
    for (const [queueName, added] of Map.groupBy(records, (record) => record.queueName)) {
      try {
        hear(
          queueName,
          added.map(({ id }) => id),
        )
      } catch (error) {
        this.#logger.error('onAdd threw', { error, queueName })
      }
    }
  }
}

function perQueue<T>(setting: PerQueue<T>, queueName: string): T {
  return typeof setting === 'function' ? (setting as (queueName: string) => T)(queueName) : setting
}
