/** A Worker, whatever its stores: its events, and how it opens what it is given. */
import { waitUntil } from 'cloudflare:workers'
import type { JobQueueService, Store } from '../../src/main.ts'
import { refusal } from '../../src/refusal.ts'
import { openFrom, type StorageGiven } from './open-store.ts'
import { doorOf, type Environment, type Ready, ready, type Setup, settingOf } from './setup.ts'
import type { WorkerStores } from './worker-stores.ts'

export interface ServeOptions {
  /** `none` opens every route to everyone. Without it and without `WHERRY_TOKEN`: only `/health`. */
  readonly auth?: 'none' | undefined
  /** How long a cron tick begins jobs, in ms. Default 25,000. */
  readonly budgetMs?: number | undefined
}

/** What a Worker's module exports by default. */
export interface WorkerHandlers<Env extends object> {
  fetch(request: Request, env: Env, context?: unknown): Promise<Response>
  scheduled(controller: unknown, env: Env, context?: unknown): Promise<void>
}

export function openWorkerStore(
  given: StorageGiven,
  env: object,
  ...stores: readonly WorkerStores[]
): Promise<Store> {
  const kinds = stores.map((kindsOf) => kindsOf(env as Environment))
  return openFrom(given, {
    schemes: Object.assign({}, ...kinds.map(({ schemes }) => schemes)),
    drivers: Object.assign({}, ...kinds.map(({ drivers }) => drivers)),
    generic: refuseGeneric,
  })
}

/** Isolates are processes that come and go as they please; the generic store is for one process. */
function refuseGeneric(_storage: unknown, driver: string): never {
  const is = `the driver "${driver}" is for one process, and isolates are many`
  throw refusal('open a store', is, 'cloudflare-kv: or durable-object:', 'unsupported-by-store')
}

/** Makes a Worker of a setup. The setup runs at the first event of an isolate and should do no I/O. */
export function serveWorker<Env extends object>(
  setup: Setup<Env>,
  options: ServeOptions = {},
  onReady: (service: JobQueueService) => void = () => {},
): WorkerHandlers<Env> {
  const readyIn = onceFor(async (env: Env) => {
    const made = await prepare(setup, env, options)
    onReady(made.service)
    return made
  })
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
  options: ServeOptions,
): Promise<Ready> {
  const made = await readySetup(setup, env, options)
  const { service } = made
  const onAdd = (): void => waitUntil(service.drain({ only: 'own' }))
  service.attach({ resident: false, ...(drainsOnAdd(env) && { onAdd }) })
  return made
}

/** Runs the setup, behind the door that a Worker wants. */
export function readySetup<Env extends object>(
  setup: Setup<Env>,
  env: Env,
  { auth }: ServeOptions,
): Promise<Ready> {
  const token = settingOf(env as Environment, 'WHERRY_TOKEN')
  return ready(setup, env, doorOf(token, auth, 'closed', 'cloudflare'))
}

/** Whether jobs are run by whoever adds them, rather than by the cron alone. */
export function drainsOnAdd(env: object): boolean {
  return settingOf(env as Environment, 'WHERRY_DRAIN_ON_ADD') !== 'false'
}
