/** A Queue and a Worker; defaults, but for its concurrency. Completed jobs are kept, as by default. */
import { Queue, Worker } from 'bullmq'
import type { Line, LineSetting, Payload } from '../contestant.ts'

export async function open({ url, queueName, concurrency, run }: LineSetting): Promise<Line> {
  const { hostname: host, port } = new URL(url)
  const connection = { host, port: Number(port) }
  const queue = new Queue<Payload>(queueName, { connection })
  const worker = new Worker<Payload>(queueName, async (job) => run(job.data.index), {
    // A worker's own connection must not give up on a command.
    connection: { ...connection, maxRetriesPerRequest: null },
    concurrency,
    autorun: false,
  })
  await Promise.all([queue.waitUntilReady(), worker.waitUntilReady()])
  return {
    async add(payload) {
      await queue.add('job', payload)
    },
    async addMany(payloads) {
      await queue.addBulk(payloads.map((data) => ({ name: 'job', data })))
    },
    async start() {
      // Resolves when the worker has been closed.
      worker.run()
    },
    stop: () => worker.close(),
    async unsettled() {
      const { completed: _, ...others } = await queue.getJobCounts()
      return Object.values(others).reduce((sum, count) => sum + count, 0)
    },
    close: () => queue.close(),
  }
}
