import type { Clock } from '../clock.ts'
import type { Claim } from './claim.ts'
import type { StoreClock } from './store-clock.ts'

/** Part of a lease after which it is renewed. */
const RENEW_AFTER = 1 / 3
/** The least time between two tries, so that a store that fails fast is not asked in a loop. */
const RETRY_MS = 20

interface Held {
  /** Called once, when the lease has run out without a renewal. */
  readonly onLost: () => void
  renewing: boolean
}

/** Keeps every lease of a process alive, with one timer. */
export class Renewals {
  readonly #clock: Clock
  readonly #storeClock: StoreClock
  readonly #held = new Map<Claim, Held>()
  #timer: unknown
  #timerDue = Infinity

  constructor(clock: Clock, storeClock: StoreClock) {
    this.#clock = clock
    this.#storeClock = storeClock
  }

  /** Renews the claim from now on. Answers how to stop. */
  add(claim: Claim, onLost: () => void): () => void {
    this.#held.set(claim, { onLost, renewing: false })
    this.#scheduleFor(claim)
    return () => this.remove(claim)
  }

  remove(claim: Claim): void {
    this.#held.delete(claim)
    if (this.#held.size === 0) this.#stopTimer()
  }

  #look(): void {
    this.#stopTimer()
    for (const [claim, held] of this.#held) {
      if (!claim.believed) {
        this.#held.delete(claim)
        held.onLost()
      } else if (this.#renewIn(claim) <= 0 && !held.renewing) {
        void this.#renew(claim, held)
      }
    }
    for (const claim of this.#held.keys()) this.#scheduleFor(claim)
  }

  async #renew(claim: Claim, held: Held): Promise<void> {
    held.renewing = true
    try {
      await claim.renew()
    } catch {
      // The store does not answer. The lease ends in its time; until then the next look tries again.
    } finally {
      held.renewing = false
      if (this.#held.has(claim)) this.#scheduleFor(claim)
    }
  }

  #renewIn(claim: Claim): number {
    const { lease } = claim.record.life
    if (lease === null) return Infinity
    return lease.until - lease.lengthMs * (1 - RENEW_AFTER) - this.#storeClock.now()
  }

  #scheduleFor(claim: Claim): void {
    const { lease } = claim.record.life
    if (lease === null) return
    const endsIn = lease.until - this.#storeClock.latest()
    const lookIn = this.#held.get(claim)?.renewing
      ? endsIn
      : Math.min(endsIn, Math.max(RETRY_MS, this.#renewIn(claim)))
    // Rounded up: a timer that fires a moment early would find nothing to do.
    this.#schedule(this.#clock.monotonic() + Math.max(0, Math.ceil(lookIn)))
  }

  #schedule(due: number): void {
    if (due >= this.#timerDue) return
    this.#stopTimer()
    this.#timerDue = due
    this.#timer = this.#clock.setTimeout(() => this.#look(), due - this.#clock.monotonic())
  }

  #stopTimer(): void {
    if (this.#timerDue === Infinity) return
    this.#clock.clearTimeout(this.#timer)
    this.#timerDue = Infinity
  }
}
