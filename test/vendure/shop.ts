/** A small shop, as its server and its workers configure it. */
import { createRequire } from 'node:module'
import {
  DefaultLogger,
  DefaultSearchPlugin,
  LogLevel,
  ScheduledTask,
  type VendureConfig,
} from '@vendure/core'
import { WherryJobQueuePlugin } from '../../adapters/vendure/main.ts'
import { WorkPlugin } from './work-plugin.ts'

export interface ShopSetting {
  /** The shop's own database. */
  readonly database: string
  /** Where its jobs are kept. */
  readonly storage: string
  readonly port?: number
  /** On the first boot the tables are made. */
  readonly isFirst?: boolean
}

/** Short, so that a job of a killed worker runs again while the test waits. */
export const LEASE_MS = 3_000

/** Says that it ran, to whoever spawned the process. */
const tick = new ScheduledTask({
  id: 'tick',
  description: 'Ticks',
  schedule: '*/2 * * * * *',
  params: { by: 'tick' },
  execute: async ({ scheduledContext, params }) => {
    process.send?.({ event: 'ticked', data: params['by'], api: scheduledContext.apiType })
    return { by: params['by'] }
  },
})

const sweep = new ScheduledTask({
  id: 'sweep the floor',
  schedule: (cron) => cron.everyMondayAt(3, 30),
  execute: async () => {
    process.send?.({ event: 'swept' })
    return { swept: true }
  },
})

export function shopOf({
  database,
  storage,
  port = 0,
  isFirst = false,
}: ShopSetting): VendureConfig {
  return {
    apiOptions: {
      port,
      hostname: '127.0.0.1',
      adminApiPath: 'admin-api',
      shopApiPath: 'shop-api',
    },
    authOptions: {
      tokenMethod: 'bearer',
      requireVerification: false,
      superadminCredentials: { identifier: 'superadmin', password: 'superadmin' },
    },
    dbConnectionOptions: {
      type: 'better-sqlite3',
      database,
      synchronize: isFirst,
      enableWAL: true,
      timeout: 10_000,
      driver: createRequire(import.meta.url)('better-sqlite3'),
      // A transaction that reads first and writes then fails at once when another process wrote.
      prepareDatabase: (db) => {
        const prepare = db.prepare.bind(db)
        db.prepare = (sql: string) => prepare(sql === 'BEGIN TRANSACTION' ? 'BEGIN IMMEDIATE' : sql)
      },
    },
    paymentOptions: { paymentMethodHandlers: [] },
    logger: new DefaultLogger({ level: LogLevel.Error, timestamp: false }),
    schedulerOptions: { tasks: [tick, sweep] },
    plugins: [
      WherryJobQueuePlugin.init({
        storage,
        scheduler: true,
        leaseMs: LEASE_MS,
        backoffStrategy: () => 100,
      }),
      WorkPlugin,
      DefaultSearchPlugin.init({ bufferUpdates: true }),
    ],
  }
}
