import { type Clock, sleep } from '../clock.ts'
import type { Store } from '../store/store.ts'
import type { Claim } from './claim.ts'
import type { Dispatcher } from './dispatcher.ts'
import { cancelChannelOf, placeOf } from './layout.ts'
import type { Attempt } from './runner.ts'
import type { StoreSession } from './store-session.ts'

export interface CancellationsOptions {
  readonly session: StoreSession
  readonly dispatcher: Dispatcher
  readonly clock: Clock
}

/** How often to look for cancelled jobs where the store tells of none, in ms. */
const LOOK_EVERY_MS = 1_000
/** Cancelled jobs of one queue whose handlers have not stopped, that one look sees. */
const LOOK_MAX = 100

/**
 * Hears that jobs which run here were cancelled elsewhere, sooner than their next renewal would. A
 * renewal is also what it asks for: a claim learns by it what has become of its job.
 */
export class Cancellations {
  readonly #options: CancellationsOptions
  #isLooking = false

  constructor(options: CancellationsOptions) {
    this.#options = options
  }

  /** Hears of jobs of the queue, where the store tells. Answers how to stop hearing. */
  subscribe(store: Store, queueName: string): () => void {
    const { dispatcher } = this.#options
    const hear = (): void => renew(dispatcher.claims(queueName))
    return store.subscribe?.(cancelChannelOf(queueName), hear) ?? (() => {})
  }

  /** Looks from time to time, where the store tells nothing, as long as jobs run. */
  async lookWhileBusy(store: Store): Promise<void> {
    if (store.subscribe !== undefined || this.#isLooking) return
    this.#isLooking = true
    const { clock } = this.#options
    let dueAt = clock.monotonic() + LOOK_EVERY_MS
    for (let attempts = this.#attempts(); attempts.length > 0; attempts = this.#attempts()) {
      await this.#ended(attempts, dueAt - clock.monotonic())
      if (clock.monotonic() < dueAt) continue
      // What it cannot see now, the next look or the next renewal will.
      await this.#look().catch(() => {})
      dueAt = clock.monotonic() + LOOK_EVERY_MS
    }
    this.#isLooking = false
  }

  /** Waits for the time to look, or until there is nothing to look for. */
  async #ended(attempts: readonly Attempt[], ms: number): Promise<void> {
    const early = new AbortController()
    const ended = Promise.all(attempts.map((attempt) => attempt.ended))
    await Promise.race([ended, sleep(this.#options.clock, ms, early.signal)])
    early.abort()
  }

  #attempts(): Attempt[] {
    const { dispatcher } = this.#options
    return dispatcher.names().flatMap((name) => dispatcher.attempts(name))
  }

  async #look(): Promise<void> {
    const { session } = this.#options
    const names = new Set(this.#attempts().map(({ claim }) => claim.record.queueName))
    const ranges = [...names].map((name) => ({
      place: placeOf('cancelling', name),
      limit: LOOK_MAX,
    }))
    const answer = await session.read({ ranges })
    const cancelled = new Set(answer.ranges.flat().map(({ key }) => key))
    const { dispatcher } = this.#options
    const claims = [...names].flatMap((name) => dispatcher.claims(name))
    renew(claims.filter(({ record }) => cancelled.has(record.key)))
  }
}

function renew(claims: readonly Claim[]): void {
  for (const claim of claims) void claim.renew().catch(() => {})
}
