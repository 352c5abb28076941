import type { Clock } from '../clock.ts'
import { encode } from '../codec.ts'
import { LeaseLostError, messageOf, WherryError } from '../errors.ts'
import type { Job } from '../job.ts'
import type { JobContext, ProcessJob } from '../job-queue-strategy.ts'
import type { JobEvent, JobState } from '../lifecycle.ts'
import type { Logger } from '../logger.ts'
import { isLonger } from '../store/commit-rules.ts'
import type { Change, ChangeResult, Claim } from './claim.ts'
import { cutError } from './job-record.ts'
import { jobOf } from './job-view.ts'
import type { Renewals } from './renewals.ts'
import type { StoreSession } from './store-session.ts'

/** How an attempt came to its end. */
export type Ending = 'completed' | 'failed' | 'retried' | 'cancelled' | 'deferred' | 'lost'

/** An attempt under way. */
export interface Attempt {
  readonly claim: Claim
  /** Resolves when the handler has stopped, or nobody waits for it any more: its slot is free. */
  readonly stopped: Promise<void>
  /** Resolves when its end is stored, or cannot be. */
  readonly ended: Promise<Ending>
  /** Aborts the handler, so that the job can be given back. */
  interrupt(): void
}

export interface RunnerOptions {
  readonly session: StoreSession
  readonly clock: Clock
  readonly logger: Logger
  /** Keeps leases alive; null where a lease covers the whole attempt. */
  readonly renewals: Renewals | null
  /** Whether progress is written: not where every write is dear. */
  readonly storesProgress: boolean
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
export function runClaim(claim: Claim, process: ProcessJob, options: RunnerOptions): Attempt {
  const run = new Run(claim, options)
  const outcome = run.perform(process)
  return {
    claim,
    stopped: outcome.then(() => {}),
    ended: outcome.then((result) => run.settle(result)),
    interrupt: () => run.interrupt('stopping'),
  }
}

class Run {
  readonly #claim: Claim
  readonly #options: RunnerOptions
  readonly #abort = new AbortController()
  readonly #context: JobContext
  #interruption: Interruption | null = null
  #job: Job | null = null
  readonly #timeoutMs: number | null
  readonly #timers = new Set<unknown>()
  #giveUp: () => void = () => {}
  #progressIsStored = true
  /** The handler has stopped, or nobody waits for it any more. */
  #isOver = false

  constructor(claim: Claim, options: RunnerOptions) {
    this.#claim = claim
    this.#options = options
    this.#timeoutMs = claim.record.timeoutMs ?? options.timeoutMs()
    const { id: jobId, queueName } = claim.record
    const log = withFields(options.logger, { jobId, queueName, fence: claim.fence })
    this.#context = { signal: this.#abort.signal, fence: claim.fence, log }
  }

  async perform(process: ProcessJob): Promise<Outcome> {
    const { renewals, session } = this.#options
    const claim = this.#claim
    if (claim.record.life.state !== 'RUNNING') claim.begin(session.clock.now())
    claim.onOver = (why) => this.interrupt(why)
    renewals?.add(claim, () => this.interrupt('lost'))
    if (this.#timeoutMs !== null) this.#after(this.#timeoutMs, () => this.interrupt('timeout'))
    const abandoned = new Promise<Outcome>((resolve) => {
      this.#giveUp = () => resolve({ type: 'abandoned' })
    })
    const outcome = await Promise.race([this.#handle(process), abandoned])
    renewals?.remove(claim)
    for (const timer of this.#timers) this.#options.clock.clearTimeout(timer)
    this.#isOver = true
    return outcome
  }

  /** Aborts the handler, and stops waiting for it after a while that depends on the reason. */
  interrupt(why: Interruption): void {
    if (this.#isOver) return
    if (this.#interruption === null) {
      this.#interruption = why
      // A stopping process keeps its lease for as long as it waits; any other reason ends it.
      if (why !== 'stopping') this.#options.renewals?.remove(this.#claim)
      if (why === 'cancelled') this.#job?.cancel()
      this.#abort.abort(this.#reason(why))
    }
    const patienceMs = this.#patienceMs(why)
    if (patienceMs !== null) this.#after(patienceMs, () => this.#giveUp())
  }

  async settle(outcome: Outcome): Promise<Ending> {
    try {
      const change = this.#changeOf(outcome)
      if (change === null) return this.#interruption === 'cancelled' ? 'cancelled' : 'lost'
      return this.#endingOf(await this.#claim.settle(change))
    } catch (error) {
      this.#context.log.error('Cannot store how a job ended; it will run again', { error })
      return 'lost'
    }
  }

  /** The one place that runs user code. */
  async #handle(process: ProcessJob): Promise<Outcome> {
    try {
      const { session, logger } = this.#options
      const job = jobOf(this.#claim.record, { clock: session.clock, logger })
      this.#job = job
      job.on('progress', () => this.#storeProgress(job))
      return { type: 'returned', value: await process(job, this.#context) }
    } catch (error) {
      return { type: 'threw', error }
    }
  }

  #storeProgress(job: Job): void {
    if (!this.#options.storesProgress || !this.#progressIsStored) return
    if (this.#isOver || this.#interruption !== null) return
    this.#progressIsStored = false
    const store = (): void => {
      this.#progressIsStored = true
      if (job.progress === this.#claim.record.life.progress) return
      void this.#claim.progress(job.progress).catch(() => {})
      this.#progressIsStored = false
      this.#after(PROGRESS_EVERY_MS, store)
    }
    store()
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
    const { retries, attempts } = this.#claim.record.life
    const retryAt = retries >= attempts ? at + this.#backOffMs() : at
    const event: JobEvent = { type: 'failed', at, error: cut, retryAt }
    this.#context.log.debug('An attempt has failed', { error })
    return cut === message ? { event } : { event, parts: { error: message }, errorIsCut: true }
  }

  #backOffMs(): number {
    const { session, logger, backOffMs } = this.#options
    return backOffMs(
      this.#job ?? jobOf({ ...this.#claim.record, parts: {} }, { clock: session.clock, logger }),
    )
  }

  #endingOf(result: ChangeResult): Ending {
    if (result === 'cancelled') return 'cancelled'
    const { id, life } = this.#claim.record
    if (result === 'done') return ENDINGS[life.state]
    const error = new LeaseLostError(
      `Cannot settle job "${id}": its lease was lost to another worker`,
    )
    this.#context.log.warn(error.message, { error })
    return 'lost'
  }

  #reason(why: Interruption): Error {
    const job = `Job "${this.#claim.record.id}"`
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
    const { lease } = this.#claim.record.life
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
    const timer = this.#options.clock.setTimeout(() => {
      this.#timers.delete(timer)
      act()
    }, ms)
    this.#timers.add(timer)
  }
}

function withFields(logger: Logger, fixed: Readonly<Record<string, unknown>>): Logger {
  const at = (level: keyof Logger): Logger['info'] => {
    return (message, fields) => logger[level](message, { ...fixed, ...fields })
  }
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}
