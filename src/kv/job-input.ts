/** What is asked of an added job, checked: everything is refused before anything is stored. */
import { TIMER_MS_MAX } from '../clock.ts'
import type { JobOptions } from '../job-queue-strategy.ts'
import { assertWhole, refusal } from '../refusal.ts'
import { PRIORITY_MAX } from './layout.ts'

const ADD = 'add a job'

/** Ten years: what lies further off is more likely a slip of units. */
export const DELAY_MS_MAX: number = 10 * 366 * 86_400_000
const RETRIES_MAX = 10_000

/** @throws WherryError `input-invalid`, naming the option. */
export function assertJobOptions(options: JobOptions): void {
  const { retries = 0, delay = 0, runAt, priority = 0, timeout = 1 } = options
  assertWhole(ADD, 'retries', retries, 0, RETRIES_MAX)
  assertWhole(ADD, 'delay', delay, 0, DELAY_MS_MAX)
  assertWhole(ADD, 'priority', priority, -PRIORITY_MAX, PRIORITY_MAX)
  assertWhole(ADD, 'timeout', timeout, 1, TIMER_MS_MAX)
  if (runAt === undefined) return
  if (!(runAt instanceof Date && Number.isFinite(runAt.getTime()))) {
    throw refusal(ADD, `runAt is ${String(runAt)}`, 'a Date')
  }
  if (options.delay !== undefined) throw refusal(ADD, 'it has a delay and a runAt', 'one of them')
}
