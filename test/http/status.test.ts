import { describe, expect, it } from 'vitest'
import { statusOf } from '../../src/http/status.ts'
import {
  createMemoryStore,
  type InspectableJobQueueStrategy,
  type Job,
  type JobPage,
  type JobQueueStrategy,
  type Logger,
  type Store,
  silentLogger,
  WherryError,
  type WherryErrorCode,
} from '../../src/main.ts'
import { addJobs, openWorld, send } from './requests.ts'

/** Written down a second time, so that no status changes by accident. */
const EXPECTED: Record<WherryErrorCode, number> = {
  'json-malformed': 400,
  'input-invalid': 400,
  'name-invalid': 400,
  'data-unserialisable': 400,
  unauthorized: 401,
  forbidden: 403,
  'queue-not-found': 404,
  'job-not-found': 404,
  'route-not-found': 404,
  'job-settled': 409,
  'job-unsettled': 409,
  'lease-lost': 409,
  'id-taken': 409,
  'body-too-large': 413,
  'data-too-large': 413,
  'media-type-unsupported': 415,
  internal: 500,
  'record-corrupt': 500,
  'unsupported-by-store': 501,
  'unsupported-by-strategy': 501,
  'store-unavailable': 503,
  'job-failed': 500,
  'job-cancelled': 500,
  'wait-timeout': 504,
}

const SECRET = 'redis://user:hunter2@10.0.0.7'

/** A strategy of somebody else's, which can do what Vendure's port asks and no more. */
class ForeignStrategy implements JobQueueStrategy {
  async add<Data>(job: Job<Data>): Promise<Job<Data>> {
    return job
  }

  async start(): Promise<void> {}

  async stop(): Promise<void> {}
}

/** The same, and whoever looks at its jobs finds what is thrown. */
class ThrowingStrategy extends ForeignStrategy implements InspectableJobQueueStrategy {
  readonly #thrown: unknown

  constructor(thrown: unknown) {
    super()
    this.#thrown = thrown
  }

  async findOne(): Promise<undefined> {
    throw this.#thrown
  }

  async findMany(): Promise<JobPage> {
    throw this.#thrown
  }

  async findManyById(): Promise<Job[]> {
    return []
  }

  async removeSettledJobs(): Promise<number> {
    return 0
  }

  async cancelJob(): Promise<undefined> {
    return undefined
  }
}

class RememberingLogger implements Logger {
  readonly errors: unknown[] = []
  readonly debug = silentLogger.debug
  readonly info = silentLogger.info
  readonly warn = silentLogger.warn

  error(_message: string, fields?: Readonly<Record<string, unknown>>): void {
    this.errors.push(fields?.['error'])
  }
}

describe('the status of an error', () => {
  it.each(Object.entries(EXPECTED) as [WherryErrorCode, number][])(
    '"%s" is %i',
    async (code, status) => {
      const logger = new RememberingLogger()
      const error = new WherryError(code, `Cannot do it: ${SECRET} says no`)
      const { app } = await openWorld({}, { strategy: new ThrowingStrategy(error), logger })
      const answer = await send(app, 'GET /jobs/x')
      expect([answer.status, statusOf(code)]).toEqual([status, status])
      expect(answer.json.error.code).toBe(code)
      expect(answer.json.error.message).toMatch(/^Cannot/)
      expect(answer.headers.get('content-type')).toBe('application/json')
      const isDiscreet = ['internal', 'record-corrupt', 'store-unavailable'].includes(code)
      expect(answer.json.error.message.includes(SECRET)).toBe(!isDiscreet)
      expect(logger.errors).toEqual(isDiscreet ? [error] : [])
    },
  )

  it.each([
    { why: 'an error of another kind', thrown: new TypeError(SECRET) },
    {
      why: 'an error that looks like ours',
      thrown: Object.assign(new Error(SECRET), { code: 'forbidden' }),
    },
    { why: 'text', thrown: SECRET },
    { why: 'nothing', thrown: undefined },
    { why: 'a response', thrown: new Response(SECRET, { status: 200 }) },
  ])('is 500 for $why, and the answer tells nothing', async ({ thrown }) => {
    const logger = new RememberingLogger()
    const { app } = await openWorld({}, { strategy: new ThrowingStrategy(thrown), logger })
    for (const request of ['GET /jobs/x', 'GET /jobs']) {
      const { status, headers, json } = await send(app, request)
      expect([status, json.error.code]).toEqual([500, 'internal'])
      expect(JSON.stringify(json)).not.toContain(SECRET)
      expect(headers.get('x-content-type-options')).toBe('nosniff')
    }
    expect(logger.errors).toHaveLength(2)
  })
})

describe('with a strategy of somebody else', () => {
  it('adds jobs, and answers 501 to what that cannot do', async () => {
    const { app } = await openWorld({}, { strategy: new ForeignStrategy() })
    expect((await send(app, 'POST /queues/mail/jobs', { data: 1 })).status).toBe(201)
    for (const request of [
      'GET /queues',
      'GET /queues/mail',
      'POST /queues/mail/pause',
      'POST /queues/mail/resume',
      'GET /jobs',
      'DELETE /jobs',
      'GET /jobs/x',
      'POST /jobs/x/cancel',
      'POST /jobs/x/retry',
      'DELETE /jobs/x',
      'POST /next',
    ]) {
      const { status, json } = await send(app, request)
      expect([request, status, json.error.code]).toEqual([request, 501, 'unsupported-by-strategy'])
    }
  })
})

/** The memory store, but for what is overridden. */
function storeWith(overrides: Partial<Store>): Store {
  const store = createMemoryStore()
  return {
    name: store.name,
    guarantee: store.guarantee,
    clock: store.clock,
    limits: store.limits,
    read: (query) => store.read(query),
    commit: (units, hint) => store.commit(units, hint),
    operations: () => store.operations(),
    close: () => store.close(),
    ...overrides,
  }
}

describe('with a store in trouble', () => {
  it('answers 503 when it cannot be reached, and keeps its address to itself', async () => {
    const storage = Promise.reject(new Error(`connect ECONNREFUSED ${SECRET}`))
    const { app } = await openWorld({}, { storage })
    for (const request of ['GET /queues', 'GET /jobs', 'GET /jobs/x', 'POST /next']) {
      const { status, json } = await send(app, request)
      expect([status, json.error.code]).toEqual([503, 'store-unavailable'])
      expect(JSON.stringify(json)).not.toContain('hunter2')
    }
  })

  it('answers 413 when the data is over what it takes', async () => {
    const { limits } = createMemoryStore()
    const storage = storeWith({ limits: { ...limits, partBytes: 100 } })
    const { app } = await openWorld({}, { storage })
    const body = [{ data: 1 }, { data: 'x'.repeat(100) }]
    const { status, json } = await send(app, 'POST /queues/mail/jobs', body)
    expect([status, json.error.code]).toEqual([413, 'data-too-large'])
    expect((await send(app, 'GET /jobs')).json.totalItems).toBe(0)
  })

  it('answers 500 when a record cannot be read', async () => {
    const storage = createMemoryStore()
    const { app } = await openWorld({}, { storage })
    const [id] = await addJobs(app, { secret: SECRET })
    const { got } = await storage.read({ get: [`j/${id}`] })
    const put = { key: `j/${id}`, expect: got[0]?.version ?? null, parts: { data: `{${SECRET}` } }
    await storage.commit([[put]])
    const { status, json } = await send(app, `GET /jobs/${id}`)
    expect([status, json.error.code]).toEqual([500, 'record-corrupt'])
    expect(JSON.stringify(json)).not.toContain('hunter2')
  })

  it('answers 409 when the handler of a cancelled job has not stopped yet', async () => {
    const { app, clock } = await openWorld()
    const [id] = await addJobs(app, 'hang')
    const drained = send(app, 'POST /next')
    await clock.advance(0)
    const cancelled = send(app, `POST /jobs/${id}/cancel`)
    const retried = await send(app, `POST /jobs/${id}/retry`)
    expect([retried.status, retried.json.error.code]).toEqual([409, 'job-unsettled'])
    expect((await cancelled).status).toBe(200)
    await clock.until(drained)
  })
})
