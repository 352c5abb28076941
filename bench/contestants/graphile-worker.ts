/**
 * With its local queue and with completions in batches, which it offers for throughput and does not
 * do by default. It deletes a job that has completed: it keeps less than the others do.
 */
import { Logger, makeWorkerUtils, type Runner, run as startRunner } from 'graphile-worker'
import { Pool } from 'pg'
import type { Line, LineSetting, Payload } from '../contestant.ts'

const silent = new Logger(() => () => {})

export async function open({ url, queueName, concurrency, run }: LineSetting): Promise<Line> {
  const settings = { connectionString: url, logger: silent }
  const pool = new Pool({ connectionString: url, max: 1 })
  const utils = await makeWorkerUtils(settings)
  await utils.migrate()
  let runner: Runner | null = null
  return {
    async add(payload) {
      await utils.addJob(queueName, payload)
    },
    async addMany(payloads) {
      await utils.addJobs(payloads.map((payload) => ({ identifier: queueName, payload })))
    },
    async start() {
      runner = await startRunner({
        ...settings,
        noHandleSignals: true,
        taskList: { [queueName]: async (payload) => run((payload as Payload).index) },
        preset: {
          worker: {
            concurrentJobs: concurrency,
            localQueue: { size: Math.max(100, 5 * concurrency) },
            completeJobBatchDelay: 0,
          },
        },
      })
    },
    async stop() {
      await runner?.stop()
    },
    async unsettled() {
      const { rows } = await pool.query('select count(*) from graphile_worker.jobs')
      return Number(rows[0].count)
    },
    async close() {
      await utils.release()
      await pool.end()
    },
  }
}
