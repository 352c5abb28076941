/** What is asked of an added job, checked: everything is refused before anything is stored. */
import { WherryError } from '../errors.ts'
import type { JobOptions } from '../job-queue-strategy.ts'
import { PRIORITY_MAX } from './layout.ts'

/** A year: what lies further off is more likely a slip of units. */
const DELAY_MS_MAX = 10 * 366 * 86_400_000
const RETRIES_MAX = 10_000
/** Timers of every runtime hold 31 bits of milliseconds: 24.8 days. */
const TIMEOUT_MS_MAX = 2 ** 31 - 1

/** @throws WherryError `input-invalid`, naming the option. */
export function assertJobOptions(options: JobOptions): void {
  const { retries = 0, delay = 0, runAt, priority = 0, timeout = 1 } = options
  assertWhole('retries', retries, 0, RETRIES_MAX)
  assertWhole('delay', delay, 0, DELAY_MS_MAX)
  assertWhole('priority', priority, -PRIORITY_MAX, PRIORITY_MAX)
  assertWhole('timeout', timeout, 1, TIMEOUT_MS_MAX)
  if (runAt !== undefined && !(runAt instanceof Date && Number.isFinite(runAt.getTime()))) {
    throw new WherryError(
      'input-invalid',
      `Cannot add a job: runAt is ${String(runAt)}, expected a Date`,
    )
  }
  if (runAt !== undefined && options.delay !== undefined) {
    throw new WherryError(
      'input-invalid',
      'Cannot add a job: it has a delay and a runAt, expected one of them',
    )
  }
}

function assertWhole(name: string, value: unknown, min: number, max: number): void {
  if (Number.isSafeInteger(value) && (value as number) >= min && (value as number) <= max) return
  throw new WherryError(
    'input-invalid',
    `Cannot add a job: ${name} is ${JSON.stringify(value)}, expected a whole number from ${min} to ${max}`,
  )
}
