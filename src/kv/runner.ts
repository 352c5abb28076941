import type { Clock } from '../clock.ts'
import { encode } from '../codec.ts'
import { LeaseLostError, messageOf, WherryError } from '../errors.ts'
import type { Job } from '../job.ts'
import type { JobContext, ProcessJob } from '../job-queue-strategy.ts'
import type { JobEvent, JobState } from '../lifecycle.ts'
import type { Logger } from '../logger.ts'
import type { Rostered } from '../roster.ts'
import { isLonger } from '../store/commit-rules.ts'
import type { Change, ChangeResult, Claim } from './claim.ts'
import { cutError } from './job-record.ts'
import { jobOf } from './job-view.ts'
import type { Held, Renewals } from './renewals.ts'
import type { StoreSession } from './store-session.ts'

/** See `KvJobQueueStrategy`: where it is defined as `false`, no progress is stored. */
declare const WHERRY_LINES: boolean | undefined

/** How an attempt came to its end. */
export type Ending = 'completed' | 'failed' | 'retried' | 'cancelled' | 'deferred' | 'lost'

/** An attempt under way. */
export interface Attempt extends Rostered {
  readonly claim: Claim
  /** On the monotonic clock. */
  readonly begunAt: number
  /** Resolves when the handler has stopped, or nobody waits for it any more: its slot is free. */
  readonly stopped: Promise<void>
  /** Resolves when its end is stored, or cannot be. */
  readonly ended: Promise<Ending>
  /** Aborts the handler; by default so that the job can be given back. */
  interrupt(why?: Interruption): void
}

/** Who hears of each attempt that its handler has stopped, and then that its end is stored. */
export interface AttemptObserver {
  onStopped(attempt: Attempt): void
  onEnded(attempt: Attempt): void
}

export interface RunnerOptions {
  readonly session: StoreSession
  readonly clock: Clock
  readonly logger: Logger
  /** Keeps leases alive; null where a lease covers the whole attempt. */
  readonly renewals: () => Renewals | null
  /** Whether progress is written: not where every write is dear. */
  readonly storesProgress: () => boolean
  /** How long after its failed attempt the job may run again, in ms. */
  readonly backOffMs: (job: Job) => number
  /** The timeout of a job that brings none of its own, in ms; null: none. */
  readonly timeoutMs: () => number | null
  /** Lapses after which a job has failed. */
  readonly maxLapses: number
}

/** Why the signal of a handler was aborted. */
type Interruption = 'cancelled' | 'lost' | 'timeout' | 'stopping'

/** What a handler did. User code throws no further than this. */
type Outcome =
  | { readonly type: 'returned'; readonly value: unknown }
  | { readonly type: 'threw'; readonly error: unknown }
  /** It did not stop after its signal was aborted, and nobody waits any longer. */
  | { readonly type: 'abandoned' }

/** The end of an attempt, by the state that its job is in then. */
const ENDINGS: Readonly<Record<JobState, Ending>> = {
  PENDING: 'deferred',
  RUNNING: 'deferred',
  RETRYING: 'retried',
  COMPLETED: 'completed',
  FAILED: 'failed',
  CANCELLED: 'cancelled',
}

/** How long a handler may take to react when the process stops. */
const STOPPING_PATIENCE_MS = 1_000
/** A timed-out attempt is settled before this part of what is left of its lease is over. */
const TIMEOUT_PATIENCE = 0.8
/** Progress is stored at most this often. */
const PROGRESS_EVERY_MS = 1_000

/** Runs a claimed job: its handler, signal and timeout, and the one commit that says how it ended. */
export function runClaim(
  claim: Claim,
  process: ProcessJob,
  options: RunnerOptions,
  observer: AttemptObserver,
): Attempt {
  return new Run(claim, process, options, observer)
}

const NONE: unknown[] = []

class Run implements Attempt {
  readonly claim: Claim
  readonly begunAt: number
  rosterIndex = -1
  readonly #options: RunnerOptions
  readonly #observer: AttemptObserver
  readonly #renewals: Renewals | null
  readonly #timeoutMs: number | null
  #held: Held | null = null
  #abort: AbortController | null = null
  #interruption: Interruption | null = null
  #job: Job | null = null
  #timers: unknown[] = NONE
  #progressIsStored = true
  /** The handler has stopped, or nobody waits for it any more. */
  #isOver = false
  #ending: Ending | null = null
  // Made when they are asked for: most attempts are followed by nobody.
  #stopped: PromiseWithResolvers<void> | null = null
  #ended: PromiseWithResolvers<Ending> | null = null

  constructor(
    claim: Claim,
    process: ProcessJob,
    options: RunnerOptions,
    observer: AttemptObserver,
  ) {
    this.claim = claim
    this.#options = options
    this.#observer = observer
    this.begunAt = options.clock.monotonic()
    this.#renewals = options.renewals()
    this.#timeoutMs = claim.record.timeoutMs ?? options.timeoutMs()
    if (claim.record.life.state !== 'RUNNING') claim.begin(options.session.clock.now())
    claim.holder = this
    this.#held = this.#renewals?.add(claim, this) ?? null
    if (this.#timeoutMs !== null) this.#after(this.#timeoutMs, () => this.interrupt('timeout'))
    void this.#handle(process)
  }

  get stopped(): Promise<void> {
    if (this.#isOver) return Promise.resolve()
    this.#stopped ??= Promise.withResolvers()
    return this.#stopped.promise
  }

  get ended(): Promise<Ending> {
    if (this.#ending !== null) return Promise.resolve(this.#ending)
    this.#ended ??= Promise.withResolvers()
    return this.#ended.promise
  }

  /** Its lease has run out. */
  lost(): void {
    this.interrupt('lost')
  }

  /** Aborts the handler, and stops waiting for it after a while that depends on the reason. */
  interrupt(why: Interruption = 'stopping'): void {
    if (this.#isOver) return
    if (this.#interruption === null) {
      this.#interruption = why
      // A stopping process keeps its lease for as long as it waits; any other reason ends it.
      if (why !== 'stopping') this.#letGo()
      if (why === 'cancelled') this.#job?.cancel()
      this.#abort?.abort(this.#reason(why))
    }
    const patienceMs = this.#patienceMs(why)
    if (patienceMs !== null) this.#after(patienceMs, () => this.#finish({ type: 'abandoned' }))
  }

  /** The handler has stopped, or nobody waits for it any longer. */
  #finish(outcome: Outcome): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#letGo()
    for (const timer of this.#timers) this.#options.clock.clearTimeout(timer)
    this.#observer.onStopped(this)
    this.#stopped?.resolve()
    void this.#settle(outcome)
  }

  #letGo(): void {
    if (this.#held !== null) this.#renewals?.remove(this.#held)
    this.#held = null
  }

  async #settle(outcome: Outcome): Promise<void> {
    let ending: Ending = this.#interruption === 'cancelled' ? 'cancelled' : 'lost'
    try {
      const change = this.#changeOf(outcome)
      if (change !== null) ending = this.#endingOf(await this.claim.settle(change))
    } catch (error) {
      this.#log().error('Cannot store how a job ended; it will run again', { error })
      ending = 'lost'
    }
    this.#ending = ending
    // Whoever still knows the attempt needs no more of it.
    this.#job = null
    this.#observer.onEnded(this)
    this.#ended?.resolve(ending)
  }

  /** The one place that runs user code. */
  async #handle(process: ProcessJob): Promise<void> {
    let outcome: Outcome
    try {
      const { session, logger } = this.#options
      const job = jobOf(this.claim.record, { clock: session.clock, logger })
      this.#job = job
      job.on('progress', () => this.#storeProgress(job))
      outcome = { type: 'returned', value: await process(job, this.#context()) }
    } catch (error) {
      outcome = { type: 'threw', error }
      // One that throws at once must not have stopped before it is known to have begun.
      await null
    }
    this.#finish(outcome)
  }

  #context(): JobContext {
    return new Context(
      this.claim.fence,
      () => this.#signal(),
      () => this.#log(),
    )
  }

  #signal(): AbortSignal {
    if (this.#abort === null) {
      this.#abort = new AbortController()
      if (this.#interruption !== null) this.#abort.abort(this.#reason(this.#interruption))
    }
    return this.#abort.signal
  }

  #log(): Logger {
    const { id: jobId, queueName } = this.claim.record
    return withFields(this.#options.logger, { jobId, queueName, fence: this.claim.fence })
  }

  #storeProgress(job: Job): void {
    if (typeof WHERRY_LINES === 'undefined' || WHERRY_LINES) {
      if (!this.#options.storesProgress() || !this.#progressIsStored) return
      if (this.#isOver || this.#interruption !== null) return
      this.#progressIsStored = false
      const store = (): void => {
        this.#progressIsStored = true
        if (job.progress === this.claim.record.life.progress) return
        void this.claim.progress(job.progress).catch(() => {})
        this.#progressIsStored = false
        this.#after(PROGRESS_EVERY_MS, store)
      }
      store()
    }
  }

  /** What the end of the attempt stores; null: nothing, the lease ends by itself. */
  #changeOf(outcome: Outcome): Change | null {
    const why = this.#interruption
    if (why === 'timeout') return this.#failed(new Error(`Timed out after ${this.#timeoutMs} ms`))
    if (outcome.type === 'returned') return this.#completed(outcome.value)
    if (outcome.type === 'threw' && why === null) return this.#failed(outcome.error)
    if (why === 'stopping') return { event: { type: 'deferred' } }
    if (outcome.type === 'abandoned') return null
    // Interrupted by a lapse, it counts as one, or a handler that blocks its process runs for ever.
    // A cancelled one is acknowledged whatever it did.
    const at = this.#options.session.clock.now()
    return { event: { type: 'lapsed', at, maxLapses: this.#options.maxLapses } }
  }

  #completed(value: unknown): Change {
    const at = this.#options.session.clock.now()
    // So a handler of Vendure's says that it has cancelled its job.
    if (value === this.#job && this.#job?.state === 'CANCELLED')
      return { event: { type: 'cancelled', at, byHolder: true } }
    try {
      const result = value === undefined ? undefined : this.#encodeResult(value)
      return { event: { type: 'completed', at }, ...(result && { parts: { result } }) }
    } catch (error) {
      return this.#failed(error)
    }
  }

  #encodeResult(value: unknown): string {
    const result = encode(value, 'result')
    const bytesMax = this.#options.session.opened?.limits.partBytes ?? Infinity
    if (!isLonger(result, bytesMax)) return result
    throw new WherryError(
      'data-too-large',
      `Cannot store the result: it has over ${bytesMax} bytes`,
    )
  }

  #failed(error: unknown): Change {
    const at = this.#options.session.clock.now()
    // What no store takes is left out, or the failure could not be stored.
    const bytesMax = this.#options.session.opened?.limits.partBytes ?? Infinity
    const message = messageOf(error)
      .replaceAll('\0', '\uFFFD')
      .slice(0, bytesMax / 3)
    const cut = cutError(message)
    const { retries, attempts } = this.claim.record.life
    const retryAt = retries >= attempts ? at + this.#backOffMs() : at
    const event: JobEvent = { type: 'failed', at, error: cut, retryAt }
    this.#log().debug('An attempt has failed', { error })
    return cut === message ? { event } : { event, parts: { error: message }, errorIsCut: true }
  }

  #backOffMs(): number {
    const { session, logger, backOffMs } = this.#options
    return backOffMs(
      this.#job ?? jobOf({ ...this.claim.record, parts: {} }, { clock: session.clock, logger }),
    )
  }

  #endingOf(result: ChangeResult): Ending {
    if (result === 'cancelled') return 'cancelled'
    const { id, life } = this.claim.record
    if (result === 'done') return ENDINGS[life.state]
    const error = new LeaseLostError(
      `Cannot settle job "${id}": its lease was lost to another worker`,
    )
    this.#log().warn(error.message, { error })
    return 'lost'
  }

  #reason(why: Interruption): Error {
    const job = `Job "${this.claim.record.id}"`
    switch (why) {
      case 'cancelled':
        return new WherryError('job-cancelled', `${job} was cancelled`)
      case 'timeout':
        return new DOMException(`${job} timed out after ${this.#timeoutMs} ms`, 'TimeoutError')
      case 'lost':
        return new LeaseLostError(`${job} is lost: its lease ran out`)
      case 'stopping':
        return new LeaseLostError(`${job} is given back: its worker stops`)
    }
  }

  /** How long to wait for the handler to stop, in ms; null: as long as it takes. */
  #patienceMs(why: Interruption): number | null {
    const { lease } = this.claim.record.life
    const leaseLeftMs = Math.max(0, (lease?.until ?? 0) - this.#options.session.clock.latest())
    switch (why) {
      case 'cancelled':
        return leaseLeftMs
      case 'timeout':
        return leaseLeftMs * TIMEOUT_PATIENCE
      case 'stopping':
        return STOPPING_PATIENCE_MS
      case 'lost':
        return null
    }
  }

  #after(ms: number, act: () => void): void {
    this.#timers = [...this.#timers, this.#options.clock.setTimeout(act, ms)]
  }
}

/**
 * The signal and the log are made when they are asked for: most handlers never do. Getters of an
 * object literal would keep the attempt alive until a full garbage collection, as V8 has them.
 */
class Context implements JobContext {
  readonly fence: number
  readonly #signal: () => AbortSignal
  readonly #log: () => Logger

  constructor(fence: number, signal: () => AbortSignal, log: () => Logger) {
    this.fence = fence
    this.#signal = signal
    this.#log = log
  }

  get signal(): AbortSignal {
    return this.#signal()
  }

  get log(): Logger {
    return this.#log()
  }
}

function withFields(logger: Logger, fixed: Readonly<Record<string, unknown>>): Logger {
  const at = (level: keyof Logger): Logger['info'] => {
    return (message, fields) => logger[level](message, { ...fixed, ...fields })
  }
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}
