import type { Clock } from '../clock.ts'

interface Timer {
  readonly due: number
  readonly order: number
  readonly callback: () => void
}

/**
 * A clock that moves only when told to.
 *
 * @example
 * ```ts
 * const clock = new FakeClock()
 * const jobs = new JobQueueService({ clock, storage: createMemoryStore({ clock }) })
 * await clock.advance(60_000) // runs every timer that falls due on the way, in order
 * ```
 */
export class FakeClock implements Clock {
  #now: number
  readonly #start: number
  readonly #timers = new Map<number, Timer>()
  #timersSet = 0

  /** Starts at `startMs` (since 1970). Default: the beginning of 2026. */
  constructor(startMs: number = Date.UTC(2026, 0, 1)) {
    this.#start = startMs
    this.#now = startMs
  }

  now(): number {
    return this.#now
  }

  monotonic(): number {
    return this.#now - this.#start
  }

  setTimeout(callback: () => void, ms: number): number {
    const order = ++this.#timersSet
    this.#timers.set(order, { due: this.#now + Math.max(0, ms), order, callback })
    return order
  }

  clearTimeout(handle: unknown): void {
    this.#timers.delete(handle as number)
  }

  /** When the next timer falls due (ms since 1970); null when none is set. */
  get nextDueAt(): number | null {
    return this.#next()?.due ?? null
  }

  /** Moves time on by `ms`, running what falls due in order and letting promises settle between. */
  async advance(ms: number): Promise<void> {
    const until = this.#now + ms
    await settled()
    for (let timer = this.#next(); timer !== null && timer.due <= until; timer = this.#next()) {
      this.#timers.delete(timer.order)
      this.#now = Math.max(this.#now, timer.due)
      timer.callback()
      await settled()
    }
    this.#now = until
  }

  /** Moves time on, timer by timer, until the promise settles; then gives what it gave. */
  async until<T>(promise: Promise<T>): Promise<T> {
    let done = false
    promise.then(
      () => {
        done = true
      },
      () => {
        done = true
      },
    )
    await settled()
    while (!done) {
      const due = this.nextDueAt
      if (due === null) throw new Error('Cannot move the clock: nothing is waited for on it')
      await this.advance(Math.max(0, due - this.#now))
    }
    return promise
  }

  #next(): Timer | null {
    let next: Timer | null = null
    for (const timer of this.#timers.values()) {
      if (next === null || timer.due < next.due) next = timer
    }
    return next
  }
}

/** Lets every promise that can settle without a timer do so. */
function settled(): Promise<void> {
  return new Promise((resolve) =>
    typeof setImmediate === 'function' ? void setImmediate(resolve) : void setTimeout(resolve, 0),
  )
}
