/** The example app on Cloudflare Workers, for any of their stores: see `objects.toml`. */
import { openStore, type ServedWorker, serve } from '../../adapters/runtime/cloudflare.ts'
import { createSearch, createSearchApp } from './app.ts'

interface Env {
  readonly WHERRY_STORAGE: string
  readonly WHERRY_TOKEN?: string
  readonly WHERRY_DRAIN_ON_ADD?: string
  readonly JOBS: KVNamespace
  readonly QUEUE: DurableObjectNamespace
}

const worker: ServedWorker<Env> = serve<Env>(async (env, { door }) => {
  const search = await createSearch(await openStore(env.WHERRY_STORAGE, env))
  return { service: search.service, app: createSearchApp(search, door) }
})

/** Keeps the jobs of `durable-object:QUEUE`. */
export const QueueObject: typeof worker.QueueObject = worker.QueueObject
export default worker
