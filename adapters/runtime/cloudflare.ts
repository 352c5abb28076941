/**
 * wherry on Cloudflare Workers: requests add jobs and drain what they added, cron drains the rest; or a
 * Durable Object keeps the jobs and runs them by its alarm.
 *
 * @module
 */
import { type JobQueueService, KvJobQueueStrategy, type Store } from '../../src/main.ts'
import { type ObjectStore, QueueObject } from '../store/durable-object.ts'
import type { StorageGiven } from './open-store.ts'
import type { Setup } from './setup.ts'
import {
  drainsOnAdd,
  openWorkerStore,
  readySetup,
  type ServeOptions,
  serveWorker,
  type WorkerHandlers,
} from './worker.ts'
import { cloudflareKV, durableObject, keptInMemory, type WorkerStores } from './worker-stores.ts'

export type { Environment, Setup, SetupContext, SetupResult } from './setup.ts'
export type { ServeOptions } from './worker.ts'

/** What a Worker's module exports by default, and the class to export for a Durable Object. */
export interface ServedWorker<Env extends object> extends WorkerHandlers<Env> {
  /** Keeps the jobs of `durable-object:QUEUE`, and runs them. */
  readonly QueueObject: typeof QueueObject<Env>
}

/**
 * Opens `cloudflare-kv:JOBS`, `durable-object:QUEUE`, both as `cloudflare-kv:JOBS+durable-object:QUEUE`
 * (long data and results in KV), which name bindings; `memory:`, which an isolate takes with it when it
 * vanishes; an unstorage driver, a `Storage` or a `Store`. `more` are further stores, such as `d1` and
 * `upstash` of `wherry/runtime/worker-stores`: a Worker links only what it is given. Touches no
 * binding: a store is opened while the module loads.
 *
 * @throws WherryError `input-invalid` for an unknown scheme or a binding that is not there.
 *
 * @example
 * ```ts
 * openStore(env.WHERRY_STORAGE, env, d1, upstash)
 * ```
 */
export function openStore(
  given: StorageGiven,
  env: object = {},
  ...more: readonly WorkerStores[]
): Promise<Store> {
  return openWorkerStore(given, env, cloudflareKV, durableObject, keptInMemory, ...more)
}

/**
 * Makes a Worker of a setup. The setup runs at the first event of an isolate and should do no I/O.
 *
 * @example
 * ```ts
 * const worker = serve<Env>(async (env) => {
 *   const jobs = new JobQueueService({ storage: openStore(env.WHERRY_STORAGE, env) })
 *   await jobs.createQueue({ name: 'fetch-page', process: fetchPage })
 *   return jobs
 * })
 * export const QueueObject = worker.QueueObject // only for `durable-object:`
 * export default worker
 * ```
 */
export function serve<Env extends object>(
  setup: Setup<Env>,
  options: ServeOptions = {},
): ServedWorker<Env> {
  return {
    ...serveWorker(setup, options, leaveToObject),
    QueueObject: class extends QueueObject<Env> {
      override get drainsOnAdd(): boolean {
        return drainsOnAdd(this.env)
      }

      override async jobs(env: Env): Promise<JobQueueService> {
        return (await readySetup(setup, env, options)).service
      }
    },
  }
}

/** Where the jobs are kept by an object that runs them, the Worker never claims one. */
function leaveToObject(service: JobQueueService): void {
  const { strategy } = service
  if (!(strategy instanceof KvJobQueueStrategy)) return
  service.attach({
    drain: async (options) => {
      const store: Partial<ObjectStore> = await strategy.inside.session.store()
      return (await store.drain?.(options)) ?? null
    },
  })
}
