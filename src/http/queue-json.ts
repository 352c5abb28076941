import type { JobQueueService } from '../job-queue-service.ts'
import { JobState } from '../lifecycle.ts'

/** A queue as JSON. */
export interface QueueJson {
  readonly name: string
  /** Whether this process runs its jobs as they come. */
  readonly running: boolean
  /** Whether nobody, in any process, begins its jobs. */
  readonly paused: boolean
  readonly counts: Readonly<Record<JobState, number>>
}

/** The queues that were created in this process. */
export async function queuesOf(service: JobQueueService): Promise<QueueJson[]> {
  const [counts, paused] = await Promise.all([service.counts(), service.paused()])
  return service.getJobQueues().map(({ name, running }) => ({
    name,
    running,
    paused: paused.get(name) ?? false,
    // A queue that was created while we asked has no counts yet.
    counts: counts.get(name) ?? NONE,
  }))
}

const NONE = Object.fromEntries(Object.keys(JobState).map((state) => [state, 0])) as Record<
  JobState,
  number
>
