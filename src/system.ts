/**
 * The one file of the core that asks the platform for time and randomness. Everything here is
 * called late: module Workers forbid both while a module is loading.
 */
import type { Clock, Random } from './clock.ts'

/** The platform's own clock and timers. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  setTimeout: (callback, ms) => setTimeout(callback, ms),
  clearTimeout: (handle) => clearTimeout(handle as Parameters<typeof clearTimeout>[0]),
}

const pool = new Uint32Array(1_024)
let used = pool.length

/** Cryptographic randomness, drawn many numbers at a time. */
export const systemRandom: Random = () => {
  if (used === pool.length) {
    crypto.getRandomValues(pool)
    used = 0
  }
  return (pool[used++] as number) / 2 ** 32
}
