/**
 * A worker process for the tests: runs the queue `count` of a store, and writes down each run of a
 * job before it is settled.
 *
 *     node worker.ts sqlite:./jobs.db ./runs.log
 */
import { appendFileSync } from 'node:fs'
import { openStore } from '../../adapters/runtime/node.ts'
import { type Job, JobQueueService, silentLogger } from '../../src/main.ts'

const [storage = '', log = '', leaseMs = '1000'] = process.argv.slice(2)
const service = new JobQueueService({
  storage: openStore(storage),
  concurrency: 8,
  logger: silentLogger,
  leaseMs: Number(leaseMs),
  // Processes are killed in the middle of jobs on purpose; no job is to fail for it.
  maxLapses: 1_000,
  pollInterval: 50,
})
await service.createQueue({
  name: 'count',
  process: async (job: Job<number>, { fence }) => {
    appendFileSync(log, `${job.id} ${fence} ${process.pid} ${Date.now()}\n`)
    await new Promise((resolve) => setTimeout(resolve, Number(job.data)))
    return fence
  },
})
await service.start()
process.stdout.write('started\n')
process.once('SIGTERM', () => void service.close())
