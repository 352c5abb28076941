/**
 * wherry as the job queue of a Vendure 3 shop.
 *
 * @example
 * ```ts
 * // vendure-config.ts
 * import { WherryJobQueuePlugin } from 'wherry/vendure'
 *
 * export const config: VendureConfig = {
 *   // …
 *   plugins: [WherryJobQueuePlugin.init({ storage: 'redis://localhost:6379', scheduler: true })],
 * }
 * ```
 *
 * @module
 */
export type { StorageGiven } from '../runtime/open-store.ts'
export { jobSignal } from './job-signal.ts'
export type { AddedJobOptions, SchedulerSettings, WherryJobQueueOptions } from './options.ts'
export { WherryJobQueuePlugin } from './plugin.ts'
