/**
 * Time and timers, handed in. One clock belongs to each service and one to each store, so that the
 * real queue code runs under a simulated clock.
 */
export interface Clock {
  /** Milliseconds since 1970. May be wrong, and may jump. */
  now(): number
  /** Milliseconds since some fixed moment of this process. Never falls and never jumps. */
  monotonic(): number
  setTimeout(callback: () => void, ms: number): unknown
  clearTimeout(handle: unknown): void
}

/** Returns a number from 0 (inclusive) to 1 (exclusive), with at least 32 random bits. */
export type Random = () => number

/** Characters that one random number is good for: 36^5 is less than 2^26. */
const CHARACTERS_MAX = 5

/** Returns `length` random characters of `[0-9a-z]`; twelve of them hold 62 bits. */
export function randomToken(random: Random, length: number): string {
  let token = ''
  while (token.length < length) {
    const count = Math.min(CHARACTERS_MAX, length - token.length)
    token += Math.floor(random() * 36 ** count)
      .toString(36)
      .padStart(count, '0')
  }
  return token
}

/** Timers of every runtime hold 31 bits of milliseconds, and fire at once when there are more. */
export const TIMER_MS_MAX: number = 2 ** 31 - 1

/** Waits on the clock. Resolves early, and never rejects, when `signal` aborts. */
export function sleep(clock: Clock, ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve()
    const wake = (): void => {
      clock.clearTimeout(timer)
      signal?.removeEventListener('abort', wake)
      resolve()
    }
    const timer = clock.setTimeout(wake, Math.min(ms, TIMER_MS_MAX))
    signal?.addEventListener('abort', wake)
  })
}

/**
 * The clock as a store must show it: integer milliseconds that never fall. After it was set back it
 * goes on at half its speed until it is right again, so that what waits for a time still comes.
 */
export function neverFalling(clock: Pick<Clock, 'now' | 'monotonic'>): () => number {
  let last = 0
  let lastAt = 0
  return () => {
    const wall = Math.floor(clock.now())
    const at = clock.monotonic()
    if (wall >= last) {
      last = wall
      lastAt = at
    } else {
      const crept = Math.floor((at - lastAt) / 2)
      last += crept
      lastAt += 2 * crept
    }
    return last
  }
}
