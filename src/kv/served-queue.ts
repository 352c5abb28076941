import type { ProcessJob } from '../job-queue-strategy.ts'
import { Roster } from '../roster.ts'
import type { Claim } from './claim.ts'
import { type Attempt, type AttemptObserver, type RunnerOptions, runClaim } from './runner.ts'

/** See `KvJobQueueStrategy`: only a resident worker claims ahead. */
declare const WHERRY_RESIDENT: boolean | undefined

export interface ServingOptions {
  readonly running: RunnerOptions
  /** Claims of a queue go ahead by what its slots do in this time, in ms; 0: not at all. */
  readonly aheadMs: () => number
  /** Hears that an attempt at the job has ended. */
  readonly onEnded: (jobId: string) => void
  /** Hears that there is room for more. */
  readonly onRoom: () => void
}

/** Room that is kept for a claim under way. */
export interface Reservation {
  readonly slots: number
  /** Of those that would wait for a slot. */
  readonly beyond: number
}

/** Jobs that may be claimed ahead, beside as many as the queue has slots. */
const AHEAD_MAX = 50
/** How long a job may wait for a slot before it is given back, in ms. */
const AHEAD_PATIENCE_MS = 50
/** What the handlers of a queue are thought to take before some have shown it, in ms. */
const UNKNOWN_MS = 1_000
/** Handlers whose times count for what the next is thought to take. */
const REMEMBERED = 16

/**
 * A queue that has a handler in this process: its slots, what runs in them, and what waits for one.
 *
 * Between two handlers of a millisecond a round trip to the store would be most of the time, so a
 * resident worker claims more than it has slots for: what they will have done some ten milliseconds
 * later. What waits longer than expected is given back.
 */
export class ServedQueue implements AttemptObserver {
  readonly name: string
  process: ProcessJob
  /** Attempts that may run at once in this process. */
  concurrency: number
  readonly #options: ServingOptions
  readonly #attempts = new Roster<Attempt>()
  /** Attempts whose handlers run, and slots kept for claims under way. */
  #taken = 0
  /** Claims under way beyond the slots. */
  #asked = 0
  /** Attempts at jobs whose worker has vanished before. */
  #suspects = 0
  #ahead: Claim[] = []
  #aheadSince = 0
  #timer: unknown
  #handlerMs = UNKNOWN_MS

  constructor(name: string, process: ProcessJob, concurrency: number, options: ServingOptions) {
    this.name = name
    this.process = process
    this.concurrency = concurrency
    this.#options = options
  }

  get attempts(): readonly Attempt[] {
    return this.#attempts.all()
  }

  /** Of the attempts, and of what waits for a slot. */
  get claims(): readonly Claim[] {
    return [...this.attempts.map(({ claim }) => claim), ...this.#ahead]
  }

  /** How many jobs to claim now; with those that would wait for a slot, if that is allowed. */
  room(goesAhead: boolean): number {
    const slots = Math.max(0, this.concurrency - this.#taken)
    const most = goesAhead ? this.#aheadMost() : 0
    const waiting = this.#ahead.length + this.#asked
    // Not one by one: they are there to share a round trip.
    return waiting > most / 2 ? slots : slots + most - waiting
  }

  /** Keeps room for a claim under way, until what it has won is accepted. */
  reserve(limit: number): Reservation {
    const slots = Math.min(limit, Math.max(0, this.concurrency - this.#taken))
    const reservation = { slots, beyond: limit - slots }
    this.#taken += reservation.slots
    this.#asked += reservation.beyond
    return reservation
  }

  /** Starts as many as slots were kept for; the others wait. */
  async accept({ slots, beyond }: Reservation, won: readonly Claim[]): Promise<Attempt[]> {
    const ahead = won.slice(slots)
    // A job that may end this process must not take along what waits behind it.
    if (won.some(isSuspect)) await this.#giveBackAhead(ahead.splice(0))
    const attempts = won.slice(0, slots).flatMap((claim) => this.#start(claim) ?? [])
    this.#taken -= slots
    this.#asked -= beyond
    const now = this.#options.running.clock.monotonic()
    // Not anew for each: what waits already would never be given back.
    if (this.#ahead.length === 0) this.#aheadSince = now
    this.#ahead.push(...ahead)
    this.#fill(now)
    return attempts
  }

  /** Gives back what waits for a slot. */
  async giveBack(): Promise<void> {
    await giveBackAll(this.#ahead.splice(0))
  }

  /** And claims no more ahead until a handler has stopped, or the same would be claimed again. */
  #giveBackAhead(more: readonly Claim[]): Promise<void> {
    this.#handlerMs = Infinity
    return giveBackAll([...this.#ahead.splice(0), ...more])
  }

  onStopped(attempt: Attempt): void {
    if (isSuspect(attempt.claim)) this.#suspects--
    this.#taken--
    if (typeof WHERRY_RESIDENT === 'undefined' || WHERRY_RESIDENT) {
      const now = this.#options.running.clock.monotonic()
      const ms = now - attempt.begunAt
      const known = Math.min(this.#handlerMs, UNKNOWN_MS)
      // One that takes long counts at once, those that do not one by one.
      this.#handlerMs = Math.max(ms, known + (ms - known) / REMEMBERED)
      this.#fill(now)
      if (this.room(true) > 0) this.#options.onRoom()
    }
  }

  onEnded(attempt: Attempt): void {
    this.#attempts.delete(attempt)
    this.#options.onEnded(attempt.claim.record.id)
  }

  /** Null: it has waited for longer than its lease, or was cancelled meanwhile. */
  #start(claim: Claim): Attempt | null {
    if (!claim.believed || claim.isOver) {
      void giveBackAll([claim])
      return null
    }
    this.#taken++
    if (isSuspect(claim)) this.#suspects++
    const attempt = runClaim(claim, this.process, this.#options.running, this)
    this.#attempts.add(attempt)
    return attempt
  }

  /** Starts what waits, as far as there are slots. */
  #fill(now: number): void {
    if (typeof WHERRY_RESIDENT === 'undefined' || WHERRY_RESIDENT) {
      if (this.#ahead.length === 0) return
      const { clock } = this.#options.running
      while (this.#taken < this.concurrency) {
        const claim = this.#ahead.shift()
        if (claim === undefined) return
        this.#aheadSince = now
        this.#start(claim)
      }
      this.#timer ??= clock.setTimeout(() => this.#watch(), AHEAD_PATIENCE_MS)
    }
  }

  /** Gives back what has waited in vain. */
  #watch(): void {
    if (typeof WHERRY_RESIDENT === 'undefined' || WHERRY_RESIDENT) {
      const { clock, session } = this.#options.running
      this.#timer = undefined
      const lease = this.#ahead[0]?.record.life.lease
      if (!lease) return
      const left = Math.min(
        this.#aheadSince + AHEAD_PATIENCE_MS - clock.monotonic(),
        // Nobody renews it before it begins. The first ends first.
        lease.until - lease.lengthMs / 2 - session.clock.latest(),
      )
      if (left > 0) this.#timer = clock.setTimeout(() => this.#watch(), left)
      else void this.#giveBackAhead([])
    }
  }

  #aheadMost(): number {
    if (typeof WHERRY_RESIDENT === 'undefined' || WHERRY_RESIDENT) {
      // Without a bound, and when nothing is known to be quick, it is no number.
      const done = Math.floor((this.concurrency * this.#options.aheadMs()) / this.#handlerMs) || 0
      return this.#suspects > 0 ? 0 : Math.min(done, Math.max(AHEAD_MAX, this.concurrency))
    }
    return 0
  }
}

function isSuspect({ record }: Claim): boolean {
  return record.life.lapses > 0
}

/** What cannot be given back now goes back into the line when its lease ends. */
export async function giveBackAll(claims: readonly Claim[]): Promise<void> {
  await Promise.allSettled(claims.map((claim) => claim.settle({ event: { type: 'deferred' } })))
}
