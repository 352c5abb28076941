/** What the tests of Durable Objects run against. */
import { QueueObject } from '../../adapters/store/durable-object.ts'
import { type Job, JobQueueService, type Store, silentLogger } from '../../src/main.ts'

export { QueueObject }

/** One whose alarm drains: it doubles numbers, and fails as often as it is told to. */
export class DrainingQueue extends QueueObject {
  failures = 0
  drains = 0

  override async jobs(storage: Store): Promise<JobQueueService> {
    const jobs = new JobQueueService({ storage, logger: silentLogger })
    await jobs.createQueue({ name: 'double', process: (job: Job<number>) => job.data * 2 })
    const drain = jobs.drain.bind(jobs)
    jobs.drain = async (options) => {
      this.drains++
      if (this.failures-- > 0) throw new Error('It went wrong')
      return drain(options)
    }
    return jobs
  }
}

export default { fetch: (): Response => new Response('A Worker of the tests') }
