import { WherryError } from '../errors.ts'
import { configOf, Job } from '../job.ts'
import { SubscribableJob, type SubscribableSurroundings } from '../subscribable-job.ts'

/** Vendure's id of a job that is in a buffer, which its users compare with. */
const BUFFERED = 'buffered'

/** What `add()` gives when a buffer keeps the job back: there is nothing to follow yet. */
// biome-ignore lint/suspicious/noExplicitAny: as with SubscribableJob
export class BufferedJob extends SubscribableJob<any, any> {
  override readonly isBuffered = true

  constructor(job: Job, surroundings: SubscribableSurroundings) {
    super(new Job({ ...configOf(job), id: BUFFERED }, surroundings), surroundings)
  }

  override async wait(): Promise<never> {
    throw inBuffer('wait for')
  }

  override updates(): never {
    throw inBuffer('follow')
  }
}

function inBuffer(action: string): WherryError {
  return new WherryError(
    'job-not-found',
    `Cannot ${action} a job that is in a buffer: it has no id yet, expected one that service.flush() gave`,
  )
}
