/**
 * Two lanes that fetch in batches of half the concurrency, again at once while batches come back
 * full: without that a lane would sleep half a second after each. Completed jobs are kept, as by
 * default.
 */
import { Pool } from 'pg'
import { PgBoss } from 'pg-boss'
import type { Line, LineSetting, Payload } from '../contestant.ts'

const LANES = 2

export async function open({ url, queueName, concurrency, run }: LineSetting): Promise<Line> {
  const boss = new PgBoss(url)
  const pool = new Pool({ connectionString: url, max: 1 })
  boss.on('error', (error) => {
    throw error
  })
  await boss.start()
  await boss.createQueue(queueName)
  return {
    async add(payload) {
      await boss.send(queueName, payload)
    },
    async addMany(payloads) {
      await boss.insert(
        queueName,
        payloads.map((data) => ({ data })),
      )
    },
    async start() {
      const options = {
        batchSize: Math.max(1, concurrency / LANES),
        localConcurrency: LANES,
        burstWhenBatchFull: true,
        pollingIntervalSeconds: 0.5,
      }
      await boss.work<Payload>(queueName, options, async (jobs) => {
        for (const job of jobs) run(job.data.index)
      })
    },
    stop: () => boss.offWork(queueName, { wait: true }),
    async unsettled() {
      const sql = `select count(*) from pgboss.job where name = $1 and state <> 'completed'`
      return Number((await pool.query(sql, [queueName])).rows[0].count)
    },
    async close() {
      await pool.end()
      await boss.stop({ graceful: false })
    },
  }
}
