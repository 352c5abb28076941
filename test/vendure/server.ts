/**
 * A shop's server. What its parent asks for, it does with Vendure's own services.
 *
 *     node server.ts '{"database":"shop.sqlite","storage":"redis://127.0.0.1:6379","port":3000}'
 */
import { bootstrap, JobQueueService } from '@vendure/core'
import { shopOf } from './shop.ts'
import { type Work, WorkPlugin } from './work-plugin.ts'

export type Wish =
  | { readonly ask: 'add'; readonly data: Work; readonly retries?: number }
  /** Adds a job and follows it by Vendure's `updates()`. */
  | { readonly ask: 'follow'; readonly data: Work }
  | { readonly ask: 'flush' }

const app = await bootstrap(shopOf(JSON.parse(process.argv[2] ?? '')))
const { queue } = app.get(WorkPlugin)

async function grant(wish: Wish): Promise<unknown> {
  if (wish.ask === 'flush') return (await app.get(JobQueueService).flush()).map(({ id }) => id)
  const { ask, data } = wish
  const retries = ask === 'add' ? wish.retries : undefined
  const job = await queue.add(data, retries === undefined ? {} : { retries })
  if (ask === 'add') return job.id
  const updates: unknown[] = []
  await job.updates({ pollInterval: 50 }).forEach(({ state, progress, result }) => {
    updates.push({ state, progress, result })
  })
  return updates
}

process.on('message', ({ order, wish }: { order: number; wish: Wish }) => {
  grant(wish).then(
    (answer) => process.send?.({ order, answer }),
    (error) => process.send?.({ order, error: String(error) }),
  )
})
process.send?.({ event: 'ready' })
