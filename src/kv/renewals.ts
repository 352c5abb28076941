import type { Clock } from '../clock.ts'
import { Roster, type Rostered } from '../roster.ts'
import type { Claim } from './claim.ts'
import type { StoreClock } from './store-clock.ts'

/** Part of a lease after which it is renewed. */
const RENEW_AFTER = 1 / 3
/** The least time between two tries, so that a store that fails fast is not asked in a loop. */
const RETRY_MS = 20

/** A claim whose lease is kept alive. */
export interface Held extends Rostered {
  readonly claim: Claim
  /** Hears once that the lease has run out without a renewal. */
  readonly holder: { lost(): void }
  renewing: boolean
}

/** Keeps every lease of a process alive, with one timer. */
export class Renewals {
  readonly #clock: Clock
  readonly #storeClock: StoreClock
  readonly #held = new Roster<Held>()
  #timer: unknown
  #timerDue = Infinity

  constructor(clock: Clock, storeClock: StoreClock) {
    this.#clock = clock
    this.#storeClock = storeClock
  }

  /** Renews the claim from now on, until it is removed. */
  add(claim: Claim, holder: Held['holder']): Held {
    const held = { claim, holder, renewing: false, rosterIndex: -1 }
    this.#held.add(held)
    this.#scheduleFor(held)
    return held
  }

  remove(held: Held): void {
    this.#held.delete(held)
    if (this.#held.size === 0) this.#stopTimer()
  }

  #look(): void {
    this.#stopTimer()
    for (const held of this.#held.all()) {
      if (!held.claim.believed) {
        this.#held.delete(held)
        held.holder.lost()
      } else if (this.#renewIn(held.claim) <= 0 && !held.renewing) {
        void this.#renew(held)
      }
    }
    for (const held of this.#held.all()) this.#scheduleFor(held)
  }

  async #renew(held: Held): Promise<void> {
    held.renewing = true
    try {
      await held.claim.renew()
    } catch {
      // The store does not answer. The lease ends in its time; until then the next look tries again.
    } finally {
      held.renewing = false
      if (this.#held.has(held)) this.#scheduleFor(held)
    }
  }

  #renewIn(claim: Claim): number {
    const { lease } = claim.record.life
    if (lease === null) return Infinity
    return lease.until - lease.lengthMs * (1 - RENEW_AFTER) - this.#storeClock.now()
  }

  #scheduleFor({ claim, renewing }: Held): void {
    const { lease } = claim.record.life
    if (lease === null) return
    const endsIn = lease.until - this.#storeClock.latest()
    const lookIn = renewing ? endsIn : Math.min(endsIn, Math.max(RETRY_MS, this.#renewIn(claim)))
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
