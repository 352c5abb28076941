import { type Clock, type Random, sleep, TIMER_MS_MAX } from '../clock.ts'
import type { Logger } from '../logger.ts'
import { assertNumber } from '../refusal.ts'
import type { Store } from '../store/store.ts'
import { Cancellations } from './cancellations.ts'
import type { ClaimSource } from './claim-round.ts'
import type { Dispatcher } from './dispatcher.ts'
import { channelOf } from './layout.ts'
import type { Attempt } from './runner.ts'
import type { StoreSession } from './store-session.ts'

export interface ResidentWorkerOptions {
  readonly session: StoreSession
  readonly dispatcher: Dispatcher
  readonly source: ClaimSource
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  /** How often to look where nothing tells of new jobs, in ms. */
  readonly pollMs: (queueName: string) => number
  /** How long jobs under way may take once the worker stops, in ms. */
  readonly gracefulShutdownTimeout: number
}

/** With a subscription: the longest sleep on the hope that no wake-up was lost. */
const HOPE_MS = 5_000
/** After a look that found work which others took: long enough for them to be done. */
const CONTENDED_MS = 10
/** Time to store that interrupted jobs were given back, once their handlers had theirs to stop. */
const GIVE_BACK_MS = 6_000
/** After a look that failed. */
const BROKEN_MS = 1_000
/** A failure that goes on is logged this often. */
const LOG_EVERY_MS = 3_000

/** Runs jobs as they come, for as long as the process lives. */
export class ResidentWorker {
  readonly #options: ResidentWorkerOptions
  readonly #queues = new Set<string>()
  readonly #subscriptions = new Map<string, () => void>()
  readonly #cancellations: Cancellations
  #loop: Promise<void> | null = null
  #looking: Promise<unknown> = Promise.resolve()
  #woken = false
  #wake: () => void = () => {}
  #sleepsUntil = Infinity
  #alarm: unknown
  #alarmAt = Infinity
  /** When the sleep under way ends, on the monotonic clock. */
  #wakesAt = Infinity
  #loggedAt = -Infinity

  constructor(options: ResidentWorkerOptions) {
    const { gracefulShutdownTimeout } = options
    assertNumber('make a service', 'gracefulShutdownTimeout', gracefulShutdownTimeout)
    this.#options = options
    this.#cancellations = new Cancellations(options)
    options.dispatcher.onFree = () => this.wake()
  }

  get running(): ReadonlySet<string> {
    return this.#queues
  }

  /** @throws WherryError `input-invalid` when the queue's `pollInterval` is no time. */
  start(queueName: string): void {
    const pollMs = this.#options.pollMs(queueName)
    assertNumber(`start queue "${queueName}"`, 'pollInterval', pollMs)
    this.#queues.add(queueName)
    this.wake()
    this.#loop ??= this.#work().finally(() => {
      this.#loop = null
      // Started again while the loop was ending.
      for (const name of this.#queues) this.start(name)
    })
  }

  /**
   * Claims no more for this queue, and waits for what is under way: first for as long as a graceful
   * shutdown may take, then until it has been given back.
   */
  async stop(queueName: string): Promise<void> {
    this.#queues.delete(queueName)
    this.wake()
    const attempts = (): readonly Attempt[] => this.#options.dispatcher.attempts(queueName)
    const finished = async (): Promise<void> => {
      await this.giveBack(queueName)
      await Promise.all(attempts().map(({ ended }) => ended))
    }
    await this.#within(this.#options.gracefulShutdownTimeout, finished())
    for (const attempt of attempts()) attempt.interrupt()
    await this.#within(GIVE_BACK_MS, finished())
    if (!this.#queues.has(queueName)) this.#unsubscribe(queueName)
  }

  /** Gives back what waits for a slot, and what a look under way is about to have wait. */
  async giveBack(queueName: string): Promise<void> {
    const giveBack = () => this.#options.dispatcher.get(queueName)?.giveBack()
    await giveBack()
    await this.#looking
    await giveBack()
  }

  /** Looks for work now. */
  wake(): void {
    this.#woken = true
    this.#wake()
  }

  /** Looks for work then, on the store's clock, or now if that is past. */
  wakeAt(at: number): void {
    if (at < this.#sleepsUntil) this.wake()
  }

  async #work(): Promise<void> {
    while (this.#queues.size > 0) {
      this.#woken = false
      const look = this.#look()
      this.#looking = look
      const sleepMs = await look
      if (!this.#woken && this.#queues.size > 0) await this.#sleep(sleepMs)
    }
    this.#options.clock.clearTimeout(this.#alarm)
    this.#alarmAt = Infinity
  }

  /** Claims what there is. Answers how long to sleep then. */
  async #look(): Promise<number> {
    const { dispatcher, source, session } = this.#options
    try {
      const store = session.ready ?? (await session.store())
      const names = [...this.#queues]
      for (const name of names) this.#subscribe(store, name)
      const { attempts, nextDueAt } = await dispatcher.dispatch(source, names, {
        goesAhead: true,
        isWanted: (name) => this.#queues.has(name),
      })
      // Some may have waited for a slot, and begun on their own.
      void this.#cancellations.lookWhileBusy(store)
      return this.#sleepMs(store, names, attempts, nextDueAt)
    } catch (error) {
      this.#logFailure(error)
      return BROKEN_MS * (0.5 + this.#options.random())
    }
  }

  #sleepMs(
    store: Store,
    names: readonly string[],
    attempts: readonly Attempt[],
    nextDueAt: number | null,
  ): number {
    const { dispatcher, session, random, pollMs } = this.#options
    const hasRoom = names.some((name) => (dispatcher.get(name)?.room(true) ?? 0) > 0)
    // Full: the next look comes when a slot is free.
    if (!hasRoom) return HOPE_MS
    const hopeMs = store.subscribe
      ? HOPE_MS * (0.8 + random() * 0.2)
      : Math.min(...names.map(pollMs))
    const dueMs = nextDueAt === null ? Infinity : nextDueAt - session.clock.now()
    const least = attempts.length > 0 ? 0 : CONTENDED_MS * random()
    // In whole milliseconds, as the store's clock counts them.
    return Math.ceil(Math.max(least, Math.min(hopeMs, dueMs)))
  }

  async #sleep(ms: number): Promise<void> {
    const { clock, session } = this.#options
    this.#sleepsUntil = session.clock.now() + ms
    await new Promise<void>((resolve) => {
      this.#wake = resolve
      this.#setAlarm(clock.monotonic() + Math.min(ms, TIMER_MS_MAX))
    })
    this.#sleepsUntil = Infinity
    this.#wake = () => {}
  }

  /**
   * One timer for many sleeps: a busy worker is woken before each is over, and timers that are begun
   * and ended for each keep what they served alive until a full garbage collection.
   */
  #setAlarm(wakesAt: number): void {
    const { clock } = this.#options
    this.#wakesAt = wakesAt
    // It comes early, and is set again then.
    if (this.#alarmAt <= wakesAt) return
    clock.clearTimeout(this.#alarm)
    this.#alarmAt = wakesAt
    this.#alarm = clock.setTimeout(
      () => {
        this.#alarmAt = Infinity
        if (clock.monotonic() >= this.#wakesAt) this.#wake()
        else this.#setAlarm(this.#wakesAt)
      },
      Math.ceil(wakesAt - clock.monotonic()),
    )
  }

  #subscribe(store: Store, queueName: string): void {
    if (store.subscribe === undefined || this.#subscriptions.has(queueName)) return
    const unsubscribe = [
      store.subscribe(channelOf(queueName), (at) => this.wakeAt(at)),
      this.#cancellations.subscribe(store, queueName),
    ]
    this.#subscriptions.set(queueName, () => {
      for (const stop of unsubscribe) stop()
    })
  }

  #unsubscribe(queueName: string): void {
    this.#subscriptions.get(queueName)?.()
    this.#subscriptions.delete(queueName)
  }

  async #within(ms: number, done: Promise<void>): Promise<void> {
    const over = new AbortController()
    await Promise.race([done, sleep(this.#options.clock, ms, over.signal)])
    over.abort()
  }

  #logFailure(error: unknown): void {
    const now = this.#options.clock.monotonic()
    if (now - this.#loggedAt < LOG_EVERY_MS) return
    this.#loggedAt = now
    this.#options.logger.error('Cannot look for jobs; trying again', { error })
  }
}
