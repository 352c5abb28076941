/**
 * A queue that adds and one that works, without the events that nobody here listens to: its README
 * says to disable what is not needed. Succeeded jobs are kept, as by default.
 */
import BeeQueue from 'bee-queue'
import type { Line, LineSetting, Payload } from '../contestant.ts'

export async function open({ url, queueName, concurrency, run }: LineSetting): Promise<Line> {
  const { hostname: host, port } = new URL(url)
  const settings = {
    redis: { host, port: Number(port) },
    getEvents: false,
    sendEvents: false,
    storeJobs: false,
  }
  const producer = new BeeQueue<Payload>(queueName, { ...settings, isWorker: false })
  const worker = new BeeQueue<Payload>(queueName, settings)
  await Promise.all([producer.ready(), worker.ready()])
  return {
    async add(payload) {
      await producer.createJob(payload).save()
    },
    async addMany(payloads) {
      const errors = await producer.saveAll(payloads.map((data) => producer.createJob(data)))
      for (const error of errors.values()) throw error
    },
    async start() {
      worker.process(concurrency, async (job) => run(job.data.index))
    },
    stop: () => worker.close(),
    async unsettled() {
      const { waiting, active, failed, delayed } = await producer.checkHealth()
      return waiting + active + failed + delayed
    },
    close: () => producer.close(),
  }
}
