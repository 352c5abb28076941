import type { Clock } from '../clock.ts'

/** One look at the store's clock: it showed `now` at some moment between the two. */
interface Sample {
  readonly now: number
  readonly sentAt: number
  readonly receivedAt: number
}

/**
 * The store's time between two answers of the store: its last answer plus the time that has passed
 * on this process's monotonic clock, so that a jump of the wall clock moves nothing.
 */
export class StoreClock {
  readonly #clock: Clock
  #sample: Sample | null = null

  constructor(clock: Clock) {
    this.#clock = clock
  }

  observe(now: number, sentAt: number): void {
    this.#sample = { now, sentAt, receivedAt: this.#clock.monotonic() }
  }

  /** What the store's clock shows at least. The process's own clock before the first answer. */
  now(): number {
    const sample = this.#sample
    if (sample === null) return Math.floor(this.#clock.now())
    return Math.floor(sample.now + this.#clock.monotonic() - sample.receivedAt)
  }

  /**
   * What the store's clock shows at most. A holder believes in its lease while this is before the
   * deadline: the answer may have been on its way for all of the round trip.
   */
  latest(): number {
    const sample = this.#sample
    if (sample === null) return Math.ceil(this.#clock.now())
    return Math.ceil(sample.now + this.#clock.monotonic() - sample.sentAt)
  }
}
