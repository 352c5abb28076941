/** One service that adds and runs; defaults, but for its concurrency. Settled jobs are kept. */
import { openStore } from '../../adapters/runtime/node.ts'
import { type Job, JobQueueService } from '../../src/main.ts'
import type { Line, LineSetting, Payload } from '../contestant.ts'

export async function open({ url, queueName, concurrency, run }: LineSetting): Promise<Line> {
  const service = new JobQueueService({ storage: await openStore(url) })
  const queue = await service.createQueue({
    name: queueName,
    concurrency,
    process: async (job: Job<Payload>) => run(job.data.index),
  })
  return {
    async add(payload) {
      await queue.add(payload)
    },
    async addMany(payloads) {
      await queue.addMany(payloads.map((data) => ({ data })))
    },
    start: () => service.start(),
    stop: () => service.stop(),
    async unsettled() {
      const { COMPLETED: _, ...others } = (await service.counts()).get(queueName) ?? {}
      return Object.values(others).reduce((sum, count) => sum + count, 0)
    },
    close: () => service.close(),
  }
}
