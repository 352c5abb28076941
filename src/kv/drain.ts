import { type Clock, sleep } from '../clock.ts'
import { assertNumber, assertWhole } from '../refusal.ts'
import { addOperations } from '../store/operations.ts'
import type { Operations } from '../store/store.ts'
import type { ClaimSource } from './claim-round.ts'
import type { Dispatcher } from './dispatcher.ts'
import type { Attempt, Ending } from './runner.ts'
import type { StoreSession } from './store-session.ts'

export interface DrainOptions {
  /** Milliseconds after which no further job is begun. Default 25,000. */
  readonly budgetMs?: number | undefined
  /** Jobs to begin at most. Default: no such bound. */
  readonly maxJobs?: number | undefined
  /** Ends the drain; jobs under way are given back. */
  readonly signal?: AbortSignal | undefined
  /** `own`: only jobs that this process has added itself and was told to drain; lists nothing. */
  readonly only?: 'own' | undefined
}

export interface DrainReport {
  /** Attempts that were begun. */
  readonly processed: number
  readonly completed: number
  readonly failed: number
  readonly retried: number
  readonly cancelled: number
  /** Given back unfinished, or lost to another worker. */
  readonly deferred: number
  /** `busy`: every slot of this process is taken by other drains or its worker. */
  readonly stoppedBecause: 'empty' | 'budget' | 'max-jobs' | 'aborted' | 'busy'
  /** When there is something to do next; null: nothing is known to come. */
  readonly nextDueAt: Date | null
  /** What the store was asked to do meanwhile, by this process as a whole. */
  readonly operations: Operations
}

export const DRAIN_BUDGET_MS = 25_000
/** Operations that one more claim and its surroundings may need before a platform's bound. */
const OPERATIONS_RESERVE = 50
/** Operations that an attempt under way may still need to be settled. */
const OPERATIONS_PER_ATTEMPT = 3

export interface DrainSetting {
  readonly session: StoreSession
  readonly dispatcher: Dispatcher
  readonly clock: Clock
  readonly source: ClaimSource
  readonly queueNames: readonly string[]
}

type Bounds = DrainOptions & { readonly signal: AbortSignal }

/** Runs jobs until there are none, or the time, the jobs or the platform's patience are used up. */
export async function drain(setting: DrainSetting, options: Bounds): Promise<DrainReport> {
  return new Drain(setting, options).run()
}

class Drain {
  readonly #setting: DrainSetting
  readonly #endsAt: number
  readonly #maxJobs: number
  readonly #signal: AbortSignal
  readonly #running = new Set<Attempt>()
  readonly #endings: Promise<Ending>[] = []
  readonly #dues: number[] = []
  #unsettled = 0
  #isFreed = false
  #freed: () => void = () => {}

  constructor(
    setting: DrainSetting,
    { budgetMs = DRAIN_BUDGET_MS, maxJobs = Infinity, signal }: Bounds,
  ) {
    assertNumber('drain', 'budgetMs', budgetMs)
    if (maxJobs !== Infinity) assertWhole('drain', 'maxJobs', maxJobs, 0)
    this.#setting = setting
    this.#endsAt = setting.clock.monotonic() + budgetMs
    this.#maxJobs = maxJobs
    this.#signal = signal
  }

  async run(): Promise<DrainReport> {
    const { session } = this.#setting
    const store = await session.store()
    const before = store.operations()
    const used = (): Operations => addOperations(store.operations(), before, -1)
    const { invocationOperations = Infinity } = store.limits
    const left = (): number =>
      Object.values(used()).reduce((rest, count) => rest - count, invocationOperations)
    const interrupt = (): void => {
      for (const attempt of this.#running) attempt.interrupt()
      this.#freed()
    }
    this.#signal.addEventListener('abort', interrupt)
    try {
      const stoppedBecause = await this.#untilStopped(left).catch(async (error) => {
        // Whoever waits for the drain keeps the process alive for the jobs under way.
        await Promise.allSettled(this.#endings)
        throw error
      })
      if (this.#signal.aborted) interrupt()
      const endings = await Promise.all(this.#endings)
      return this.#report(endings, stoppedBecause, used())
    } finally {
      this.#signal.removeEventListener('abort', interrupt)
    }
  }

  async #untilStopped(left: () => number): Promise<DrainReport['stoppedBecause']> {
    const { dispatcher, session, source, queueNames } = this.#setting
    for (;;) {
      const reason = this.#reasonToStop(left)
      if (reason !== null) return reason
      this.#isFreed = false
      const wasQuiet = this.#unsettled === 0
      const { attempts, nextDueAt, isFull, isContended } = await dispatcher.dispatch(
        source,
        queueNames,
        { max: this.#maxJobs - this.#endings.length, isWanted: () => !this.#signal.aborted },
      )
      for (const attempt of attempts) this.#follow(attempt)
      // A slot that became free meanwhile was not looked for.
      if (attempts.length > 0 || this.#isFreed || this.#signal.aborted) continue
      if (isContended) await session.backOff(1)
      else if (this.#unsettled > 0) await this.#slotOrEnd()
      // A look beside an attempt under way may have seen its lease.
      else if (wasQuiet) return this.#nothingFound(nextDueAt, isFull)
    }
  }

  #nothingFound(nextDueAt: number | null, isFull: boolean): 'empty' | 'busy' {
    if (nextDueAt !== null) this.#dues.push(nextDueAt)
    return isFull ? 'busy' : 'empty'
  }

  /** `left`: operations that the platform still lets it do. */
  #reasonToStop(
    left: () => number,
  ): Exclude<DrainReport['stoppedBecause'], 'empty' | 'busy'> | null {
    if (this.#signal.aborted) return 'aborted'
    if (this.#endings.length >= this.#maxJobs) return 'max-jobs'
    if (this.#setting.clock.monotonic() >= this.#endsAt) return 'budget'
    const needed = OPERATIONS_RESERVE + OPERATIONS_PER_ATTEMPT * this.#unsettled
    return left() < needed ? 'budget' : null
  }

  #follow(attempt: Attempt): void {
    this.#running.add(attempt)
    this.#unsettled++
    this.#endings.push(attempt.ended.then((ending) => this.#note(attempt, ending)))
    void attempt.stopped.then(() => {
      this.#running.delete(attempt)
      this.#isFreed = true
      this.#freed()
    })
  }

  #note({ claim }: Attempt, ending: Ending): Ending {
    this.#unsettled--
    const { runAt } = claim.record.life
    if (ending === 'retried' && runAt !== null) this.#dues.push(runAt)
    return ending
  }

  /** Waits until a job of this drain stops or the budget ends; once all have, until that is stored. */
  async #slotOrEnd(): Promise<void> {
    if (this.#running.size === 0) return void (await Promise.all(this.#endings))
    const { clock } = this.#setting
    const budgetOver = new AbortController()
    const freed = new Promise<void>((resolve) => {
      this.#freed = resolve
    })
    const left = Math.max(0, this.#endsAt - clock.monotonic())
    await Promise.race([freed, sleep(clock, left, budgetOver.signal)])
    budgetOver.abort()
  }

  #report(
    endings: readonly Ending[],
    stoppedBecause: DrainReport['stoppedBecause'],
    operations: Operations,
  ): DrainReport {
    const count = (...kinds: Ending[]): number =>
      endings.filter((ending) => kinds.includes(ending)).length
    return {
      processed: endings.length,
      completed: count('completed'),
      failed: count('failed'),
      retried: count('retried'),
      cancelled: count('cancelled'),
      deferred: count('deferred', 'lost'),
      stoppedBecause,
      nextDueAt: this.#nextDueAt(stoppedBecause),
      operations,
    }
  }

  #nextDueAt(stoppedBecause: DrainReport['stoppedBecause']): Date | null {
    // Stopped before it found nothing: there may be more to do at once.
    if (stoppedBecause !== 'empty') return new Date(this.#setting.session.clock.now())
    return this.#dues.length === 0 ? null : new Date(Math.min(...this.#dues))
  }
}
