import type { Clock } from './clock.ts'
import { type RichMeta, serialise } from './codec.ts'
import { messageOf } from './errors.ts'
import { isSettledState, type JobEvent, type JobLife, JobState, transition } from './lifecycle.ts'
import { consoleLogger, type Logger } from './logger.ts'
import { systemClock } from './system.ts'

/** Text for jobs of ours; a foreign strategy may number its jobs. */
export type JobId = string | number

/** What a job can be made from. `{ ...job }` is one: a new job like the old, not yet run. */
export interface JobConfig<Data = unknown, Result = unknown> {
  readonly queueName: string
  readonly data: Data
  /** Gives the data when they are first asked for, in place of `data`. */
  readonly readData?: (() => Data) | undefined
  readonly id?: JobId | null | undefined
  readonly retries?: number | undefined
  readonly attempts?: number | undefined
  readonly priority?: number | undefined
  readonly state?: JobState | undefined
  readonly progress?: number | undefined
  readonly result?: Result | undefined
  readonly error?: string | undefined
  readonly createdAt?: Date | undefined
  readonly runAt?: Date | undefined
  readonly startedAt?: Date | undefined
  readonly settledAt?: Date | undefined
}

/** A job as JSON: what the HTTP API sends. */
export interface JobJson {
  readonly id: JobId | null
  readonly queueName: string
  readonly state: JobState
  readonly data: unknown
  readonly progress: number
  readonly result: unknown
  readonly error: string | null
  readonly attempts: number
  readonly retries: number
  readonly priority: number
  readonly createdAt: string
  readonly runAt: string | null
  readonly startedAt: string | null
  readonly settledAt: string | null
  readonly isSettled: boolean
  readonly duration: number
  /** superjson's marks, where JSON alone would lose a Date, a Map or the like. */
  readonly meta?: { readonly data?: RichMeta; readonly result?: RichMeta }
}

export type JobEventType = 'progress'
export type JobEventListener<Data = unknown, Result = unknown> = (job: Job<Data, Result>) => void

/** What a job needs of its surroundings. */
export interface JobSurroundings {
  readonly clock: Pick<Clock, 'now'>
  readonly logger: Logger
}

/** One for all: a list for each would be made among the old objects by V8, and keep its job alive. */
const NOBODY: readonly never[] = []
const SYSTEM: JobSurroundings = { clock: systemClock, logger: consoleLogger }

/**
 * A piece of work and where it stands. An instance is a snapshot in memory: its methods change the
 * instance alone, and whoever runs the job (a strategy) stores what came of it.
 *
 * @example
 * ```ts
 * const job = new Job({ queueName: 'mail', data: { to: 'a@example.org' }, retries: 2 })
 * job.start()
 * job.fail(new Error('no route'))
 * job.state // 'RETRYING': attempt 1 of 3 failed
 * ```
 */
// biome-ignore lint/suspicious/noExplicitAny: a Job of anything is what most code passes around
export class Job<Data = any, Result = any> {
  readonly id: JobId | null
  readonly queueName: string
  /** Attempts beyond the first. */
  readonly retries: number
  readonly createdAt: Date
  #data: Data
  #readData: (() => Data) | null
  readonly #priority: number
  readonly #surroundings: JobSurroundings
  #life: JobLife
  #result: Result | undefined
  #listeners: readonly JobEventListener<Data, Result>[] = NOBODY

  constructor(config: JobConfig<Data, Result>, surroundings: JobSurroundings = SYSTEM) {
    this.id = config.id ?? null
    this.queueName = config.queueName
    this.retries = config.retries ?? 0
    this.createdAt = config.createdAt ?? new Date(surroundings.clock.now())
    this.#data = config.data
    this.#readData = config.readData ?? null
    this.#result = config.result
    this.#priority = config.priority ?? 0
    this.#surroundings = surroundings
    this.#life = {
      state: config.state ?? JobState.PENDING,
      retries: this.retries,
      attempts: config.attempts ?? 0,
      lapses: 0,
      progress: config.progress ?? 0,
      runAt: config.runAt?.getTime() ?? null,
      startedAt: config.startedAt?.getTime() ?? null,
      settledAt: config.settledAt?.getTime() ?? null,
      error: config.error,
      fence: 0,
      lease: null,
    }
  }

  /** The same as `queueName`. */
  get name(): string {
    return this.queueName
  }

  get data(): Data {
    if (this.#readData !== null) {
      this.#data = this.#readData()
      this.#readData = null
    }
    return this.#data
  }

  get state(): JobState {
    return this.#life.state
  }

  /** 0 to 100. */
  get progress(): number {
    return this.#life.progress
  }

  get result(): Result | undefined {
    return this.#result
  }

  /** The message of the last failure; gone once the job has completed. */
  get error(): string | undefined {
    return this.#life.error
  }

  /** Attempts that were started, at most `retries` + 1. */
  get attempts(): number {
    return this.#life.attempts
  }

  /** From −2047 to 2047, the highest first. */
  get priority(): number {
    return this.#priority
  }

  /** When it may run: what its adder asked for, or the end of its back-off. */
  get runAt(): Date | undefined {
    return dateOf(this.#life.runAt)
  }

  /** When its last attempt began. */
  get startedAt(): Date | undefined {
    return dateOf(this.#life.startedAt)
  }

  get settledAt(): Date | undefined {
    return dateOf(this.#life.settledAt)
  }

  /** Whether nothing will happen to the job any more. */
  get isSettled(): boolean {
    return this.#life.settledAt !== null && isSettledState(this.state)
  }

  /** Milliseconds that the last attempt took, or has taken so far; 0 while the job waits. */
  get duration(): number {
    const { state, startedAt, settledAt } = this.#life
    if (state === JobState.PENDING || state === JobState.RETRYING) return 0
    const end = settledAt ?? this.#now()
    return Math.max(0, end - (startedAt ?? end))
  }

  /** Begins an attempt, if the job waits for one. */
  start(): void {
    this.#apply({ type: 'started', at: this.#now() })
  }

  /** Says how far the attempt has come, clamped to 0–100, and tells the listeners. */
  setProgress(progress: number): void {
    if (!this.#apply({ type: 'progressed', progress })) return
    for (const listener of this.#listeners) this.#tell(listener)
  }

  complete(result?: Result): void {
    if (this.#apply({ type: 'completed', at: this.#now() })) this.#result = result
  }

  /** Ends the attempt: RETRYING while attempts are left, then FAILED. */
  fail(error?: unknown): void {
    const at = this.#now()
    this.#apply({ type: 'failed', at, retryAt: at, error: messageOf(error) })
  }

  cancel(): void {
    this.#apply({ type: 'cancelled', at: this.#now() })
  }

  /** Gives the running attempt back, as if it had not begun. */
  defer(): void {
    this.#apply({ type: 'deferred' })
  }

  on(type: JobEventType, listener: JobEventListener<Data, Result>): void {
    assertEventType(type)
    this.#listeners = [...this.#listeners, listener]
  }

  off(type: JobEventType, listener: JobEventListener<Data, Result>): void {
    assertEventType(type)
    const index = this.#listeners.indexOf(listener)
    if (index >= 0) this.#listeners = this.#listeners.toSpliced(index, 1)
  }

  toJSON(): JobJson {
    const data = serialise(this.data)
    const result = serialise(this.result, 'result')
    const meta = {
      ...(data.meta && { data: data.meta }),
      // An absent result is null on the wire, and needs no mark.
      ...(result.meta && this.result !== undefined && { result: result.meta }),
    }
    return {
      id: this.id,
      queueName: this.queueName,
      state: this.state,
      data: data.json ?? null,
      progress: this.progress,
      result: result.json ?? null,
      error: this.error ?? null,
      attempts: this.attempts,
      retries: this.retries,
      priority: this.priority,
      createdAt: this.createdAt.toISOString(),
      runAt: this.runAt?.toISOString() ?? null,
      startedAt: this.startedAt?.toISOString() ?? null,
      settledAt: this.settledAt?.toISOString() ?? null,
      isSettled: this.isSettled,
      duration: this.duration,
      ...(Object.keys(meta).length > 0 && { meta }),
    }
  }

  #now(): number {
    return this.#surroundings.clock.now()
  }

  #apply(event: JobEvent): boolean {
    const life = transition(this.#life, event)
    if (life === null) return false
    this.#life = life
    return true
  }

  #tell(listener: JobEventListener<Data, Result>): void {
    try {
      listener(this)
    } catch (error) {
      this.#surroundings.logger.error('A progress listener threw', { error, jobId: this.id })
    }
  }
}

/** All that the job shows, as the config of another instance of it. */
export function configOf<Data, Result>(job: Job<Data, Result>): JobConfig<Data, Result> {
  const { id, queueName, retries, createdAt, data, state, progress, result, error } = job
  const { attempts, priority, runAt, startedAt, settledAt } = job
  const given = { id, queueName, retries, createdAt, data, state, progress, result, error }
  return { ...given, attempts, priority, runAt, startedAt, settledAt }
}

function dateOf(ms: number | null): Date | undefined {
  return ms === null ? undefined : new Date(ms)
}

function assertEventType(type: string): void {
  if (type === 'progress') return
  throw new TypeError(`Cannot listen for "${type}": a job has the event "progress" alone`)
}
