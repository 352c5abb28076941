import type { Random } from './clock.ts'
import type { Job } from './job.ts'

/**
 * Milliseconds from a failed attempt to the next. `attemptsMade` counts the attempts that were
 * started, so it is 1 after the first failure.
 */
export type BackoffStrategy = (queueName: string, attemptsMade: number, job: Job) => number

export interface ExponentialBackoff {
  /** The first wait, in ms. Default 1,000. */
  readonly firstMs?: number | undefined
  /** By what each further wait is multiplied. Default 2. */
  readonly factor?: number | undefined
  /** The longest wait, in ms. Default 3,600,000 (an hour). */
  readonly maxMs?: number | undefined
  /** Part of the wait that chance may take off, 0 to 1, so that a herd of failures spreads. Default 0.2. */
  readonly jitter?: number | undefined
}

/**
 * Waits longer after each failure.
 *
 * @example
 * ```ts
 * exponentialBackoff({ jitter: 0 }, Math.random)('mail', 3, job) // 4000
 * ```
 */
export function exponentialBackoff(
  { firstMs = 1_000, factor = 2, maxMs = 3_600_000, jitter = 0.2 }: ExponentialBackoff,
  random: Random,
): BackoffStrategy {
  return (_queueName, attemptsMade) => {
    const ms = Math.min(maxMs, firstMs * factor ** (attemptsMade - 1))
    return Math.round(ms * (1 - jitter * random()))
  }
}
