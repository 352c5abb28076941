import { WherryError } from '../errors.ts'
import type { Job } from '../job.ts'
import type { JobQueue } from '../job-queue.ts'
import type { JobQueueService } from '../job-queue-service.ts'
import { shown } from '../refusal.ts'

/** The queue, if it was created in this process. */
export function queueOf(service: JobQueueService, name: string): JobQueue {
  const queue = service.queue(name)
  if (queue !== undefined) return queue
  throw new WherryError(
    'queue-not-found',
    `Cannot find queue ${shown(name)}: this process has created none of that name`,
  )
}

/** What a search for a job by its id gave, if it gave one. */
export function found<T extends Job>(id: string, job: T | undefined): T {
  if (job !== undefined) return job
  throw jobNotFound(id)
}

export function jobNotFound(id: string): WherryError {
  return new WherryError('job-not-found', `Cannot find job ${shown(id)}: there is none of that id`)
}
