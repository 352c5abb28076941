import { type Clock, sleep } from './clock.ts'
import { WherryError } from './errors.ts'
import { configOf, Job, type JobConfig, type JobId, type JobSurroundings } from './job.ts'
import { inspectable, type JobQueueStrategy } from './job-queue-strategy.ts'
import { isSettledState, JobState } from './lifecycle.ts'
import { assertNumber, refusal } from './refusal.ts'

interface UpdateOf<Data, State extends JobState> {
  readonly id: JobId | null
  readonly state: State
  readonly progress: number
  readonly data: Data
}

/** One sight of a job; `state` tells which fields it has. */
export type JobUpdate<Data = unknown, Result = unknown> =
  | (UpdateOf<Data, 'PENDING' | 'RUNNING' | 'RETRYING' | 'CANCELLED'> & {
      readonly result?: unknown
      readonly error?: string | undefined
    })
  | (UpdateOf<Data, 'COMPLETED'> & { readonly result: Result; readonly error?: undefined })
  | (UpdateOf<Data, 'FAILED'> & { readonly result?: undefined; readonly error: string })

export interface JobUpdateOptions {
  /** How often to look, in ms; at least 50. Default 200. */
  readonly pollInterval?: number | undefined
  /** After this the updates end with one that says so, in ms. Default 3,600,000 (an hour). */
  readonly timeoutMs?: number | undefined
  /** Whether the updates of a failed job end with its error rather than with a last update. Default true. */
  readonly errorOnFail?: boolean | undefined
}

export interface WaitOptions {
  /** Milliseconds. Default 3,600,000 (an hour). */
  readonly timeoutMs?: number | undefined
  readonly signal?: AbortSignal | undefined
}

export interface JobUpdateObserver<Data, Result> {
  next?(update: JobUpdate<Data, Result>): void
  error?(error: unknown): void
  complete?(): void
}

/** An async iterable that can also be subscribed to. RxJS's `from()` takes it. */
export interface JobUpdates<Data, Result> extends AsyncIterable<JobUpdate<Data, Result>> {
  subscribe(
    observer: JobUpdateObserver<Data, Result> | ((update: JobUpdate<Data, Result>) => void),
  ): { unsubscribe(): void }
  /** By this RxJS knows what it can unsubscribe from. */
  '@@observable'(): JobUpdates<Data, Result>
}

/** Looks at the job; undefined: there is none. */
type Find<Data, Result> = () => Promise<Job<Data, Result> | undefined>

const HOUR_MS = 3_600_000
const POLL_MS = 200
const POLL_MS_MIN = 50
/** Vendure's text, which its users compare with. */
const TIMED_OUT = 'Job subscription timed out. The job may still be running'

export interface SubscribableSurroundings extends JobSurroundings {
  readonly clock: Clock
  readonly strategy: JobQueueStrategy & { watch?(id: JobId, hear: () => void): () => void }
}

/**
 * What `add()` gives: a snapshot of the job as it was added, and ways to follow it.
 *
 * @example
 * ```ts
 * const job = await queue.add({ path: 'cat.png' })
 * for await (const update of job.updates()) console.log(update.state, update.progress)
 * ```
 */
// biome-ignore lint/suspicious/noExplicitAny: as with Job, a handle on anything is the usual case
export class SubscribableJob<Data = any, Result = any> extends Job<Data, Result> {
  /** Whether a buffer keeps the job back: it is in no queue yet, and has no id of its own. */
  readonly isBuffered: boolean = false
  readonly #surroundings: SubscribableSurroundings

  constructor(
    job: Job<Data, Result> | JobConfig<Data, Result>,
    surroundings: SubscribableSurroundings,
  ) {
    super(job instanceof Job ? configOf(job) : job, surroundings)
    this.#surroundings = surroundings
  }

  /**
   * Waits for the job to be settled and gives its result.
   *
   * @throws WherryError `job-failed`, `job-cancelled`, `wait-timeout` or, for a timeout that is none,
   * `input-invalid`; `signal.reason` if that aborts.
   */
  async wait({ timeoutMs = HOUR_MS, signal }: WaitOptions = {}): Promise<Result> {
    const find = this.#finder('wait for')
    const { clock } = this.#surroundings
    const deadline = deadlineIn(timeoutMs, clock)
    const news = new News(this.id as JobId, this.#surroundings, signal)
    try {
      for (;;) {
        signal?.throwIfAborted()
        const job = await find()
        if (job !== undefined && isSettledState(job.state)) return resultOf(job)
        const left = deadline - clock.monotonic()
        if (left <= 0) throw waitTimeout(this.id, timeoutMs, job?.state)
        await news.wait(Math.min(POLL_MS, left))
      }
    } finally {
      news.close()
    }
  }

  /** Tells of every change of state and progress that it sees, until the job is settled. */
  updates(options: JobUpdateOptions = {}): JobUpdates<Data, Result> {
    const find = this.#finder('follow')
    const iterate = (): AsyncGenerator<JobUpdate<Data, Result>> => {
      const over = new AbortController()
      const generator = this.#iterate(find, options, over.signal)
      // By itself a generator hears of its end with its next update, and there may be none.
      const end = generator.return.bind(generator)
      generator.return = (value) => {
        over.abort()
        return end(value)
      }
      return generator
    }
    const updates: JobUpdates<Data, Result> = {
      [Symbol.asyncIterator]: iterate,
      subscribe: (observer) => subscribeTo(iterate(), observer),
      '@@observable': () => updates,
    }
    return updates
  }

  override start(): never {
    return this.#refuse('start')
  }

  override complete(): never {
    return this.#refuse('complete')
  }

  override fail(): never {
    return this.#refuse('fail')
  }

  override cancel(): never {
    return this.#refuse('cancel')
  }

  override defer(): never {
    return this.#refuse('defer')
  }

  #refuse(action: string): never {
    throw new WherryError(
      'unsupported-by-strategy',
      `Cannot ${action} job "${this.id}": this is a handle on it, use service.cancelJob(id)`,
    )
  }

  #finder(action: string): Find<Data, Result> {
    const { id } = this
    const strategy = inspectable(this.#surroundings.strategy, `${action} job "${id}"`)
    if (id !== null) return () => strategy.findOne(id)
    throw refusal(`${action} a job`, 'its strategy gave it no id', 'one', 'job-not-found')
  }

  async *#iterate(
    find: Find<Data, Result>,
    { pollInterval = POLL_MS, timeoutMs = HOUR_MS, errorOnFail = true }: JobUpdateOptions,
    signal: AbortSignal,
  ): AsyncGenerator<JobUpdate<Data, Result>> {
    const { clock } = this.#surroundings
    const deadline = deadlineIn(Math.max(1, timeoutMs), clock)
    const news = new News(this.id as JobId, this.#surroundings, signal)
    let last: Job<Data, Result> = this
    let told = ''
    try {
      while (!signal.aborted) {
        const job = await find()
        if (job !== undefined && sightOf(job) !== told) {
          if (job.state === JobState.FAILED && errorOnFail) throw failure(job)
          yield updateOf(job)
          if (isSettledState(job.state)) return
          told = sightOf(job)
          last = job
        }
        const left = deadline - clock.monotonic()
        if (left <= 0) {
          yield { ...updateOf(last), state: JobState.RUNNING, result: TIMED_OUT }
          return
        }
        await news.wait(Math.min(Math.max(POLL_MS_MIN, pollInterval || 0), left))
      }
    } finally {
      news.close()
    }
  }
}

function deadlineIn(timeoutMs: number, clock: Clock): number {
  assertNumber('wait for a job', 'timeoutMs', timeoutMs)
  return clock.monotonic() + timeoutMs
}

/** Waits for the next look at a job: some time, or until this process hears of it. */
class News {
  readonly #clock: Clock
  readonly #signal: AbortSignal | undefined
  readonly #unwatch: (() => void) | undefined
  #isNew = false
  #wake: () => void = () => {}

  constructor(id: JobId, { strategy, clock }: SubscribableSurroundings, signal?: AbortSignal) {
    this.#clock = clock
    this.#signal = signal
    this.#unwatch = strategy.watch?.(id, this.#hear)
    signal?.addEventListener('abort', this.#hear)
  }

  async wait(ms: number): Promise<void> {
    const early = new AbortController()
    this.#wake = () => early.abort()
    if (!this.#isNew) await sleep(this.#clock, ms, early.signal)
    this.#isNew = false
  }

  close(): void {
    this.#unwatch?.()
    this.#signal?.removeEventListener('abort', this.#hear)
  }

  readonly #hear = (): void => {
    this.#isNew = true
    this.#wake()
  }
}

function sightOf({ state, progress }: Job): string {
  return `${state} ${progress}`
}

function updateOf<Data, Result>(job: Job<Data, Result>): JobUpdate<Data, Result> {
  const { id, state, progress, data, result, error } = job
  return { id, state, progress, data, result, error } as JobUpdate<Data, Result>
}

function resultOf<Result>(job: Job<unknown, Result>): Result {
  if (job.state === JobState.COMPLETED) return job.result as Result
  if (job.state === JobState.CANCELLED)
    throw new WherryError('job-cancelled', `Job "${job.id}" was cancelled`)
  throw failure(job)
}

function failure({ id, error }: Job): WherryError {
  return new WherryError('job-failed', error ?? `Job "${id}" has failed`)
}

function waitTimeout(
  id: JobId | null,
  timeoutMs: number,
  state: JobState | undefined,
): WherryError {
  const is = state ?? 'not to be found'
  return new WherryError(
    'wait-timeout',
    `Cannot wait longer for job "${id}": after ${timeoutMs} ms it is ${is}`,
  )
}

function subscribeTo<Data, Result>(
  updates: AsyncGenerator<JobUpdate<Data, Result>>,
  observer: JobUpdateObserver<Data, Result> | ((update: JobUpdate<Data, Result>) => void),
): { unsubscribe(): void } {
  const { next, error, complete } =
    typeof observer === 'function' ? { next: observer } : bound(observer)
  let open = true
  const run = async (): Promise<void> => {
    for await (const update of updates) {
      if (!open) return
      next?.(update)
    }
    if (open) complete?.()
  }
  run().catch((reason) => {
    if (open) error?.(reason)
  })
  return {
    unsubscribe() {
      open = false
      void updates.return(undefined)
    },
  }
}

function bound<Data, Result>(
  observer: JobUpdateObserver<Data, Result>,
): JobUpdateObserver<Data, Result> {
  return {
    next: (update) => observer.next?.(update),
    error: (error) => observer.error?.(error),
    complete: () => observer.complete?.(),
  }
}
