/**
 * A process for the tests that schedules and runs a task each second, and writes down each run.
 *
 *     node schedule-worker.ts sqlite:./jobs.db ./runs.log
 */
import { appendFileSync } from 'node:fs'
import { openStore } from '../../adapters/runtime/node.ts'
import { JobQueueService, ScheduledTask, Scheduler } from '../../src/main.ts'

const [storage = '', log = ''] = process.argv.slice(2)
const service = new JobQueueService({ storage: openStore(storage), pollInterval: 20 })
const tick = new ScheduledTask({
  id: 'tick',
  schedule: '* * * * * *',
  missedRuns: 'all',
  missedRunsMax: 100,
  execute: ({ scheduledAt }) => {
    appendFileSync(log, `${scheduledAt?.getTime()} ${process.pid}\n`)
  },
})
new Scheduler(service, { tasks: [tick] })
await service.start()
process.stdout.write('started\n')
process.once('SIGTERM', () => void service.close())
