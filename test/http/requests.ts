/** How the tests of `createApp` speak to it: no port, no token, as a program on this machine would. */
import type { Hono } from 'hono'
import { type AppOptions, createApp } from '../../src/http/main.ts'
import {
  createMemoryStore,
  type Job,
  type JobContext,
  JobQueueService,
  type JobQueueServiceOptions,
  silentLogger,
} from '../../src/main.ts'
import { FakeClock } from '../../src/testing/main.ts'

export interface Answer {
  readonly status: number
  readonly headers: Headers
  // biome-ignore lint/suspicious/noExplicitAny: the tests say what they expect of it
  readonly json: any
}

/** Sends what is not text as JSON. Every POST says that it is JSON, as the loopback door wants. */
export async function send(
  app: Hono,
  request: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const [method = 'GET', path = '/'] = request.split(' ')
  const text = body === undefined || typeof body === 'string' ? body : JSON.stringify(body)
  const typed = method === 'POST' ? { 'content-type': 'application/json', ...headers } : headers
  const response = await app.request(path, {
    method,
    headers: typed,
    ...(text !== undefined && { body: text }),
  })
  const answer = await response.text()
  return {
    status: response.status,
    headers: response.headers,
    json: answer === '' ? null : JSON.parse(answer),
  }
}

export interface World {
  readonly clock: FakeClock
  readonly service: JobQueueService
  readonly app: Hono
  /** Calls of the handler of "mail". */
  readonly handled: Job[]
}

/**
 * Two queues: "mail", whose handler does what its data says (`fail`, `hang`, or gives it back), and
 * "a/b, c%", whose name is as awkward as names may be.
 */
export async function openWorld(
  options: AppOptions = {},
  serviceOptions: JobQueueServiceOptions = {},
): Promise<World> {
  const clock = new FakeClock()
  const service = new JobQueueService({
    clock,
    logger: silentLogger,
    ...(serviceOptions.strategy === undefined && { storage: createMemoryStore({ clock }) }),
    ...serviceOptions,
  })
  const handled: Job[] = []
  await service.createQueue({
    name: 'mail',
    process: async (job: Job, { signal }: JobContext) => {
      handled.push(job)
      if (job.data === 'fail') throw new Error('no route')
      if (job.data === 'hang') {
        await new Promise((resolve) => signal.addEventListener('abort', resolve))
      }
      return job.data
    },
  })
  await service.createQueue({ name: 'a/b, c%' })
  return { clock, service, app: createApp(service, options), handled }
}

/** The name of the awkward queue, as it stands in a URL. */
export const AWKWARD: string = encodeURIComponent('a/b, c%')

/** The ids of jobs that were added with this data, in its order. */
export async function addJobs(app: Hono, ...data: unknown[]): Promise<string[]> {
  const { json } = await send(
    app,
    'POST /queues/mail/jobs',
    data.map((one) => ({ data: one })),
  )
  return json.jobs.map(({ id }: { id: string }) => id)
}
