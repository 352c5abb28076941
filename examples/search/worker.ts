/** The example app on Cloudflare Workers, with its jobs in KV. */
import { openStore, serve, type WorkerHandlers } from '../../adapters/runtime/cloudflare-kv.ts'
import { createSearch, createSearchApp } from './app.ts'

interface Env {
  readonly WHERRY_STORAGE: string
  readonly WHERRY_TOKEN?: string
  readonly WHERRY_DRAIN_ON_ADD?: string
  readonly JOBS: KVNamespace
}

const worker: WorkerHandlers<Env> = serve<Env>(async (env, { door }) => {
  const search = await createSearch(await openStore(env.WHERRY_STORAGE, env))
  return { service: search.service, app: createSearchApp(search, door) }
})

export default worker
