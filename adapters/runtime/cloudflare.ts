/**
 * wherry on Cloudflare Workers: requests add jobs and drain what they added, cron drains the rest.
 *
 * @module
 */
import { waitUntil } from 'cloudflare:workers'
import type { Store } from '../../src/main.ts'
import { refusal } from '../../src/refusal.ts'
import { createCloudflareKVStore, type KVBinding } from '../store/cloudflare-kv.ts'
import { openFrom, type StorageGiven, type StoreKinds } from './open-store.ts'
import { doorOf, type Environment, type Ready, ready, type Setup, settingOf } from './setup.ts'
import type { OpenUrl } from './storage-url.ts'

export type { Environment, Setup, SetupContext, SetupResult } from './setup.ts'

export interface ServeOptions {
  /** `none` opens every route to everyone. Without it and without `WHERRY_TOKEN`: only `/health`. */
  readonly auth?: 'none' | undefined
  /** How long a cron tick begins jobs, in ms. Default 25,000. */
  readonly budgetMs?: number | undefined
}

/** What a Worker's module exports by default. */
export interface WorkerHandlers<Env> {
  fetch(request: Request, env: Env, context?: unknown): Promise<Response>
  scheduled(controller: unknown, env: Env, context?: unknown): Promise<void>
}

/**
 * `cloudflare-kv:JOBS` (a binding's name), an unstorage driver, a `Storage` or a `Store`. There is no
 * `memory:`, for an isolate vanishes at any time; who wants it all the same gives `createMemoryStore()`.
 * `more`: schemes of further stores, such as `durableObjects` of `wherry/runtime/durable-objects`.
 * Touches no binding: a store is opened while the module loads.
 */
export function openStore(
  given: StorageGiven,
  env: object = {},
  more?: (env: object) => Readonly<Record<string, OpenUrl>>,
): Promise<Store> {
  const { schemes, ...others } = storesOf(env as Environment)
  return openFrom(given, { schemes: { ...schemes, ...more?.(env) }, ...others })
}

function storesOf(env: Environment): StoreKinds {
  return {
    schemes: {
      'cloudflare-kv': ({ path, base }) => createCloudflareKVStore(bindingOf(env, path), { base }),
    },
    drivers: {
      'cloudflare-kv-binding': async (driver) =>
        createCloudflareKVStore((await driver.getInstance?.()) as KVBinding),
    },
    generic: refuseGeneric,
  }
}

/** Isolates are processes that come and go as they please; the generic store is for one process. */
function refuseGeneric(_storage: unknown, driver: string): never {
  const is = `the driver "${driver}" is for one process, and isolates are many`
  throw refusal('open a store', is, 'cloudflare-kv:', 'unsupported-by-store')
}

function bindingOf(env: Environment, name: string): KVBinding {
  const binding = env[name]
  if (typeof binding === 'object' && binding !== null && 'getWithMetadata' in binding) {
    return binding as KVBinding
  }
  throw refusal('open a store', `no KV namespace is bound as "${name}"`, 'one in wrangler.toml')
}

/**
 * Makes a Worker of a setup. The setup runs at the first event of an isolate and should do no I/O.
 *
 * @example
 * ```ts
 * export default serve<Env>(async (env) => {
 *   const jobs = new JobQueueService({ storage: openStore(env.WHERRY_STORAGE, env) })
 *   await jobs.createQueue({ name: 'fetch-page', process: fetchPage })
 *   return jobs
 * })
 * ```
 */
export function serve<Env extends object>(
  setup: Setup<Env>,
  options: ServeOptions = {},
): WorkerHandlers<Env> {
  const readyIn = onceFor((env: Env) => prepare(setup, env, options))
  return {
    async fetch(request, env) {
      const { app } = await readyIn(env)
      return app.fetch(request, env)
    },
    async scheduled(_controller, env) {
      const { service } = await readyIn(env)
      await service.drain({ budgetMs: options.budgetMs })
    },
  }
}

/** How long an event waits for the setup of another, in ms. */
const PATIENCE_MS = 50

/**
 * Makes one thing for each environment, which there is one of in an isolate. What is kept is the
 * result: a promise may wait for the I/O of another request, which would hang this one, so that is
 * given only a moment.
 */
function onceFor<Env extends object>(
  make: (env: Env) => Promise<Ready>,
): (env: Env) => Promise<Ready> {
  const made = new WeakMap<Env, Ready>()
  const making = new WeakMap<Env, Promise<Ready>>()
  return async (env) => {
    const others = making.get(env)
    const before = made.get(env) ?? (others && (await soon(others)))
    if (before !== undefined) return before
    const own = make(env)
    making.set(env, own)
    const result = await own
    made.set(env, result)
    return result
  }
}

/** What the promise gives, if it does so in a moment. */
function soon<T>(promise: Promise<T>): Promise<T | undefined> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(undefined), PATIENCE_MS)
    const done = (result?: T): void => {
      clearTimeout(timer)
      resolve(result)
    }
    promise.then(done, () => done())
  })
}

async function prepare<Env extends object>(
  setup: Setup<Env>,
  env: Env,
  { auth }: ServeOptions,
): Promise<Ready> {
  const settings = env as Environment
  const token = settingOf(settings, 'WHERRY_TOKEN')
  const made = await ready(setup, env, doorOf(token, auth, 'closed', 'cloudflare'))
  const { service } = made
  const drainsOnAdd = settingOf(settings, 'WHERRY_DRAIN_ON_ADD') !== 'false'
  const onAdd = (): void => waitUntil(service.drain({ only: 'own' }))
  service.attach({ resident: false, ...(drainsOnAdd && { onAdd }) })
  return made
}
