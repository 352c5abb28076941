/** What the tests of Durable Objects run against. */
import { openStore, type ServedWorker, serve } from '../../adapters/runtime/cloudflare.ts'
import {
  createDurableObjectStore,
  type ObjectNamespace,
  QueueObject,
} from '../../adapters/store/durable-object.ts'
import { type Job, JobQueueService, type Store, silentLogger } from '../../src/main.ts'

export { QueueObject }

interface Env {
  readonly DRAINING: ObjectNamespace
  readonly SERVED: ObjectNamespace
  readonly WHERRY_STORAGE: string
}

async function doubling(storage: Store | Promise<Store>): Promise<JobQueueService> {
  const jobs = new JobQueueService({ storage, logger: silentLogger, concurrency: 10 })
  await jobs.createQueue({ name: 'double', process: (job: Job<number>) => job.data * 2 })
  return jobs
}

/** One whose alarm drains: it doubles numbers, and fails as often as it is told to. */
export class DrainingQueue extends QueueObject<Env> {
  failures = 0
  drains = 0

  override async jobs({ DRAINING }: Env): Promise<JobQueueService> {
    const jobs = await doubling(createDurableObjectStore(DRAINING, { base: this.ctx.id.name }))
    const drain = jobs.drain.bind(jobs)
    jobs.drain = async (options) => {
      this.drains++
      if (this.failures-- > 0) throw new Error('It went wrong')
      return drain(options)
    }
    return jobs
  }
}

/** A Worker as its user writes it. */
const worker: ServedWorker<Env> = serve<Env>(async (env) => {
  const jobs = await doubling(openStore(env.WHERRY_STORAGE, env))
  const isReal = Object.prototype.toString.call(env.SERVED) === '[object DurableObjectNamespace]'
  const process = (): string => (isReal ? 'in a Worker' : 'in the object')
  await jobs.createQueue({ name: 'where', process })
  return jobs
})
export const ServedQueue: typeof worker.QueueObject = worker.QueueObject
export default worker
