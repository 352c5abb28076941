import type { BackoffStrategy } from './back-off.ts'
import { type Clock, sleep } from './clock.ts'
import { LeaseLostError, WherryError } from './errors.ts'
import { Job, type JobId } from './job.ts'
import type { JobOptions, JobQueueStrategy, ProcessJob } from './job-queue-strategy.ts'
import { JobState } from './lifecycle.ts'
import { consoleLogger, type Logger } from './logger.ts'
import { assertNumber, assertWhole } from './refusal.ts'
import { systemClock } from './system.ts'

type PerQueue<T> = T | ((queueName: string) => T)

export interface PollingJobQueueStrategyConfig {
  /** Jobs of a queue that run at once in this process. Default 1. */
  readonly concurrency?: PerQueue<number> | undefined
  /** Ms between two looks for jobs. Default 200. */
  readonly pollInterval?: PerQueue<number> | undefined
  /** While looks find nothing the time between them doubles, up to this. Default: `pollInterval`. */
  readonly maxIdlePollInterval?: PerQueue<number> | undefined
  /** For `add` to apply. Default: the job's own. */
  readonly setRetries?: ((queueName: string, job: Job) => number) | undefined
  /** For `next` to apply, in ms. Default 1,000. */
  readonly backoffStrategy?: BackoffStrategy | undefined
  /** How long a stop waits for running jobs before it gives them back, in ms. Default 20,000. */
  readonly gracefulShutdownTimeout?: number | undefined
  readonly clock?: Clock | undefined
  readonly logger?: Logger | undefined
}

/** A running job's state is looked up once in so many polls, to hear that it was cancelled. */
const CANCEL_CHECK_POLLS = 5
/** A failure that goes on is logged this often. */
const LOG_EVERY_MS = 3_000
/** What handlers have to stop in, after a graceful stop has run out of patience. */
const STOPPING_PATIENCE_MS = 1_000

/**
 * For strategies over a system that can only be asked for its next job. `next` must answer a job
 * that it has started; when and how often it is asked, what is done with the job, and how it stops,
 * is this class's part. For a store of your own implement `Store` rather than this: a worker that
 * dies leaves its jobs RUNNING here.
 */
export abstract class PollingJobQueueStrategy implements JobQueueStrategy {
  readonly concurrency: PerQueue<number>
  readonly pollInterval: PerQueue<number>
  readonly maxIdlePollInterval: PerQueue<number> | undefined
  readonly setRetries: (queueName: string, job: Job) => number
  /** Undefined with the constructor of two numbers, as in Vendure. */
  readonly backOffStrategy: BackoffStrategy | undefined
  readonly gracefulShutdownTimeout: number
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #queues = new Map<string, Map<ProcessJob, PolledQueue>>()

  constructor(config: PollingJobQueueStrategyConfig | number = {}, pollInterval?: number) {
    const given: PollingJobQueueStrategyConfig =
      typeof config === 'number' ? { concurrency: config, pollInterval } : config
    this.concurrency = given.concurrency ?? 1
    this.pollInterval = given.pollInterval ?? 200
    this.maxIdlePollInterval = given.maxIdlePollInterval
    this.setRetries = given.setRetries ?? ((_queueName, job) => job.retries)
    this.backOffStrategy =
      typeof config === 'number' ? undefined : (given.backoffStrategy ?? (() => 1_000))
    this.gracefulShutdownTimeout = given.gracefulShutdownTimeout ?? 20_000
    this.#clock = given.clock ?? systemClock
    this.#logger = given.logger ?? consoleLogger
  }

  abstract add<Data>(job: Job<Data>, options?: JobOptions): Promise<Job<Data>>
  /** The next job of the queue, started; undefined: there is none. */
  abstract next(queueName: string): Promise<Job | undefined>
  /** Stores the job as it is. */
  abstract update(job: Job): Promise<void>
  abstract findOne(id: JobId): Promise<Job | undefined>

  /**
   * Starting one process of a queue twice does nothing; another process polls beside it.
   *
   * @throws WherryError `input-invalid` for a `concurrency` or a `pollInterval` that is none.
   */
  async start(queueName: string, process: ProcessJob): Promise<void> {
    const polled = this.#queues.get(queueName) ?? new Map<ProcessJob, PolledQueue>()
    if (polled.has(process)) return
    const pollMs = perQueue(this.pollInterval, queueName)
    const concurrency = perQueue(this.concurrency, queueName)
    const start = `start queue "${queueName}"`
    assertWhole(start, 'concurrency', concurrency, 1)
    assertNumber(start, 'pollInterval', pollMs)
    const setting: PolledQueueSetting = {
      queueName,
      process,
      strategy: this,
      concurrency,
      pollMs,
      idleMsMax: Math.max(pollMs, perQueue(this.maxIdlePollInterval ?? pollMs, queueName)),
      clock: this.#clock,
      logger: this.#logger,
    }
    this.#queues.set(queueName, polled.set(process, new PolledQueue(setting)))
  }

  async stop(queueName: string, process: ProcessJob): Promise<void> {
    const polled = this.#queues.get(queueName)?.get(process)
    this.#queues.get(queueName)?.delete(process)
    await polled?.stop(this.gracefulShutdownTimeout)
  }

  /** Cancels a job that is not settled. Answers the job as it is then; undefined when there is none. */
  async cancelJob(id: JobId): Promise<Job | undefined> {
    const job = await this.findOne(id)
    if (job === undefined || job.isSettled) return job
    job.cancel()
    await this.update(job)
    return job
  }
}

interface PolledQueueSetting {
  readonly queueName: string
  readonly process: ProcessJob
  readonly strategy: Pick<PollingJobQueueStrategy, 'next' | 'update' | 'findOne'>
  readonly concurrency: number
  readonly pollMs: number
  readonly idleMsMax: number
  readonly clock: Clock
  readonly logger: Logger
}

/** One queue and one process of it. */
class PolledQueue {
  readonly #setting: PolledQueueSetting
  readonly #active = new Set<Promise<void>>()
  readonly #stopping = new AbortController()
  readonly #loop: Promise<void>
  #isOn = true
  #woken = false
  #wake: () => void = () => {}
  #loggedAt = Number.NEGATIVE_INFINITY

  constructor(setting: PolledQueueSetting) {
    this.#setting = setting
    this.#loop = this.#poll()
  }

  async stop(patienceMs: number): Promise<void> {
    this.#isOn = false
    this.#wakeUp()
    const finished = this.#loop.then(() => Promise.all(this.#active))
    await this.#within(patienceMs, finished)
    this.#stopping.abort(new LeaseLostError('The job is given back: its worker stops'))
    await this.#within(STOPPING_PATIENCE_MS, finished)
  }

  async #poll(): Promise<void> {
    const { clock, pollMs, idleMsMax } = this.#setting
    let idleMs = pollMs
    while (this.#isOn) {
      this.#woken = false
      const isIdle = await this.#fill()
      if (this.#woken || !this.#isOn) continue
      const early = new AbortController()
      this.#wake = () => early.abort()
      await sleep(clock, isIdle ? idleMs : pollMs, early.signal)
      idleMs = isIdle ? Math.min(idleMs * 2, idleMsMax) : pollMs
    }
  }

  /** Takes jobs until slots or jobs are used up. Answers whether it found none at all. */
  async #fill(): Promise<boolean> {
    const { concurrency, strategy, queueName } = this.#setting
    let isIdle = true
    while (this.#isOn && this.#active.size < concurrency) {
      const job = await this.#tried(() => strategy.next(queueName))
      if (job === undefined) return isIdle
      isIdle = false
      const run = this.#run(job).finally(() => {
        this.#active.delete(run)
        this.#wakeUp()
      })
      this.#active.add(run)
    }
    return false
  }

  /** Never rejects: the slot must be free again, whatever the strategy does. */
  async #run(job: Job): Promise<void> {
    const { process, strategy, clock, logger } = this.#setting
    const abort = new AbortController()
    const over = new AbortController()
    const stopping = this.#stopping.signal
    const stopped = Promise.withResolvers<'stopped'>()
    const stop = (): void => {
      abort.abort(stopping.reason)
      stopped.resolve('stopped')
    }
    stopping.addEventListener('abort', stop)
    if (stopping.aborted) stop()
    let stored: Promise<unknown> = Promise.resolve()
    const store = (): void => {
      stored = stored.then(() => this.#tried(() => strategy.update(job)))
    }
    store()
    await stored
    job.on('progress', store)
    void this.#watch(job, abort, over.signal)
    const context = { signal: abort.signal, fence: clock.now(), log: logger }
    // The stop may have run out of patience before the job came.
    const ended = stopping.aborted ? stopped.promise : outcomeOf(job, () => process(job, context))
    const outcome = await Promise.race([ended, stopped.promise])
    if (outcome === 'stopped') job.defer()
    else outcome()
    over.abort()
    stopping.removeEventListener('abort', stop)
    job.off('progress', store)
    store()
    await stored
  }

  /** Hears that the job was cancelled elsewhere. */
  async #watch(job: Job, abort: AbortController, over: AbortSignal): Promise<void> {
    const { strategy, clock, pollMs } = this.#setting
    const { id } = job
    while (id !== null) {
      await sleep(clock, pollMs * CANCEL_CHECK_POLLS, over)
      if (over.aborted) return
      const found = await this.#tried(() => strategy.findOne(id))
      if (over.aborted || found?.state !== JobState.CANCELLED) continue
      job.cancel()
      abort.abort(new WherryError('job-cancelled', `Job "${id}" was cancelled`))
      return
    }
  }

  async #tried<T>(act: () => Promise<T>): Promise<T | undefined> {
    try {
      return await act()
    } catch (error) {
      const { clock, logger, queueName } = this.#setting
      const now = clock.monotonic()
      if (now - this.#loggedAt >= LOG_EVERY_MS) {
        this.#loggedAt = now
        logger.error('A job queue strategy failed; trying again', { error, queueName })
      }
      return undefined
    }
  }

  #wakeUp(): void {
    this.#woken = true
    this.#wake()
  }

  async #within(ms: number, done: Promise<unknown>): Promise<void> {
    const over = new AbortController()
    await Promise.race([done, sleep(this.#setting.clock, ms, over.signal)])
    over.abort()
  }
}

/** How a handler ended, as what that makes of its job. */
async function outcomeOf(job: Job, run: () => unknown): Promise<() => void> {
  try {
    const result = await run()
    // Vendure's handlers say by this that they saw the job cancelled.
    if (result instanceof Job && result.state === JobState.CANCELLED) return () => job.cancel()
    return () => job.complete(result)
  } catch (error) {
    return () => job.fail(error)
  }
}

function perQueue<T extends number>(setting: PerQueue<T>, queueName: string): T {
  return typeof setting === 'function' ? setting(queueName) : setting
}
