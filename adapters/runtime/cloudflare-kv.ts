/**
 * wherry on Cloudflare Workers whose jobs are in Workers KV alone: `wherry/runtime/cloudflare` without
 * the Durable Object, which makes the Worker 4 KiB smaller.
 *
 * @module
 */
import type { Store } from '../../src/main.ts'
import type { StorageGiven } from './open-store.ts'
import { openWorkerStore } from './worker.ts'
import { cloudflareKV, type WorkerStores } from './worker-stores.ts'

export type { Environment, Setup, SetupContext, SetupResult } from './setup.ts'
export { type ServeOptions, serveWorker as serve, type WorkerHandlers } from './worker.ts'

/** As that of `wherry/runtime/cloudflare`, for `cloudflare-kv:JOBS` and what `more` has. */
export function openStore(
  given: StorageGiven,
  env: object = {},
  ...more: readonly WorkerStores[]
): Promise<Store> {
  return openWorkerStore(given, env, cloudflareKV, ...more)
}
