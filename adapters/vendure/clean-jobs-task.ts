import { ScheduledTask } from '@vendure/core'
import type { WherryJobQueueStrategy } from './job-queue-strategy.ts'

const DAY_MS = 86_400_000

/**
 * Removes what was settled some days ago, lest a store grow for ever. It has the id, and the result,
 * of the task that Vendure's own plugin brings, and runs by whichever scheduler the shop has.
 */
export function cleanJobsTask(queue: WherryJobQueueStrategy, days: number): ScheduledTask {
  return new ScheduledTask({
    id: 'clean-jobs',
    description: 'Removes jobs that were settled some days ago',
    schedule: (cron) => cron.every(2).hours(),
    params: { days },
    execute: async ({ params }) => {
      const olderThan = new Date(Date.now() - params.days * DAY_MS)
      return { jobRecordsDeleted: await queue.removeSettledJobs([], olderThan) }
    },
  })
}
