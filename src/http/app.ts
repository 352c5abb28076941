import type { Context } from 'hono'
import { Hono } from 'hono/tiny'
import { WherryError } from '../errors.ts'
import type { JobQueueService } from '../job-queue-service.ts'
import { JobState } from '../lifecycle.ts'
import { shown } from '../refusal.ts'
import { additionsOf, assertNothing, bodyOf, drainOptionsOf } from './body.ts'
import { limitBody } from './body-limit.ts'
import { createDoor, type DoorOptions } from './door.ts'
import { healthOf } from './health.ts'
import { found, jobNotFound, queueOf } from './lookup.ts'
import { assertNoParameters, listOptionsOf, removalOf } from './query.ts'
import { type QueueJson, queuesOf } from './queue-json.ts'
import { securityHeaders } from './security-headers.ts'
import { answerError } from './status.ts'

export interface AppOptions extends DoorOptions {
  /** Bytes that a body may have. Default 1 MiB. */
  readonly bodyLimitBytes?: number | undefined
}

const BODY_BYTES_MAX = 2 ** 20

/**
 * The queues of a service over HTTP. Every route is one call on the service; no rule about jobs
 * lives here.
 *
 * Mount it after your own routes: its door stands before all that follows under the same path.
 *
 * @throws WherryError `input-invalid` for a `token` or an `auth` that could let nobody in.
 *
 * @example
 * ```ts
 * const app = new Hono()
 * app.get('/', (c) => c.text('Hello'))
 * app.route('/jobs', createApp(jobs, { token: env.WHERRY_TOKEN }))
 * ```
 */
export function createApp(service: JobQueueService, options: AppOptions = {}): Hono {
  const { runtime = 'unknown', bodyLimitBytes = BODY_BYTES_MAX } = options
  const app = new Hono()
  app.onError((error, c) => answerError(error, c, service.logger))
  app.use(securityHeaders, errorsOnly)
  // Before the door: whoever watches over the process need not know the token.
  app.get('/health', async (c) => {
    const health = await healthOf(service, runtime)
    return c.json(health, health.status === 'ok' ? 200 : 503)
  })
  app.use(createDoor(options))
  app.use(limitBody(bodyLimitBytes))
  app.use(routesOnly)
  addQueueRoutes(app, service)
  addJobRoutes(app, service)
  app.post('/next', async (c) => {
    assertNoParameters('drain', c.req.url)
    return c.json(await service.drain(drainOptionsOf(await bodyOf(c.req))))
  })
  return app
}

function addQueueRoutes(app: Hono, service: JobQueueService): void {
  app.get('/queues', async (c) => c.json({ items: await queuesOf(service) }))

  app.get('/queues/:queue', async (c) =>
    c.json({ queue: await queueJson(service, c.req.param('queue')) }),
  )

  app.post('/queues/:queue/jobs', async (c) => {
    const queue = queueOf(service, c.req.param('queue'))
    const body = await bodyOf(c.req)
    const jobs = await queue.addMany(additionsOf(body))
    return c.json(Array.isArray(body) ? { jobs } : { job: jobs[0] }, 201)
  })

  for (const action of ['pause', 'resume'] as const) {
    app.post(`/queues/:queue/${action}`, async (c) => {
      const name = c.req.param('queue') as string
      assertNothing(await bodyOf(c.req))
      await queueOf(service, name)[action]()
      return c.json({ queue: await queueJson(service, name) })
    })
  }
}

function addJobRoutes(app: Hono, service: JobQueueService): void {
  app.get('/jobs', async (c) => c.json(await service.findMany(listOptionsOf(c.req.url, service))))

  app.delete('/jobs', async (c) => {
    const { queueNames, olderThan } = removalOf(c.req.url, service)
    return c.json({ removed: await service.removeSettledJobs(queueNames, olderThan) })
  })

  app.get('/jobs/:id', async (c) => {
    const id = c.req.param('id')
    return c.json({ job: found(id, await service.findOne(id)) })
  })

  app.post('/jobs/:id/cancel', async (c) => {
    const id = c.req.param('id')
    assertNothing(await bodyOf(c.req))
    const job = found(id, await service.cancelJob(id))
    if (job.isSettled && job.state !== JobState.CANCELLED) throw settled(id, job.state)
    return c.json({ job })
  })

  app.post('/jobs/:id/retry', async (c) => {
    const id = c.req.param('id')
    assertNothing(await bodyOf(c.req))
    return c.json({ job: found(id, await service.retryJob(id)) })
  })

  app.delete('/jobs/:id', async (c) => {
    const id = c.req.param('id')
    if (!(await service.removeJob(id))) throw jobNotFound(id)
    return c.body(null, 204)
  })
}

async function queueJson(service: JobQueueService, name: string): Promise<QueueJson> {
  const queue = queueOf(service, name)
  return (await queuesOf(service)).find((one) => one.name === queue.name) as QueueJson
}

/** Hono hands nothing but errors to `onError`, and code of others may throw anything. */
async function errorsOnly(_c: unknown, next: () => Promise<void>): Promise<void> {
  try {
    await next()
  } catch (thrown) {
    throw thrown instanceof Error ? thrown : new Error(String(thrown), { cause: thrown })
  }
}

/** Mounted, `notFound` would be the outer app's; this is asked wherever the app is. */
async function routesOnly(c: Context, next: () => Promise<void>): Promise<void> {
  if (c.req.routeIndex === c.req.matchedRoutes.length - 1) {
    const { method, path } = c.req
    throw new WherryError(
      'route-not-found',
      `Cannot ${method} ${shown(path)}: there is no such route`,
    )
  }
  await next()
}

function settled(id: string, state: JobState): WherryError {
  return new WherryError(
    'job-settled',
    `Cannot cancel job "${id}": it is ${state}, expected a job that is not settled`,
  )
}
