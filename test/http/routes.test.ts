import { Hono } from 'hono'
import { describe, expect, it } from 'vitest'
import { createApp } from '../../src/http/main.ts'
import { AWKWARD, addJobs, openWorld, send } from './requests.ts'

const NO_JOBS = { PENDING: 0, RUNNING: 0, COMPLETED: 0, RETRYING: 0, FAILED: 0, CANCELLED: 0 }
const UNKNOWN_ID = '0123456789'

describe('GET /queues', () => {
  it('lists the queues of this process with their counts', async () => {
    const { app } = await openWorld()
    await addJobs(app, 1, 2)
    const { status, json } = await send(app, 'GET /queues')
    expect(status).toBe(200)
    expect(json).toEqual({
      items: [
        { name: 'mail', running: false, paused: false, counts: { ...NO_JOBS, PENDING: 2 } },
        { name: 'a/b, c%', running: false, paused: false, counts: NO_JOBS },
      ],
    })
  })

  it('tells which queues run', async () => {
    const { app, service } = await openWorld()
    await service.start()
    const { json } = await send(app, 'GET /queues/mail')
    expect(json.queue.running).toBe(true)
    await service.stop()
  })

  it('finds a queue by any name that a queue may have', async () => {
    const { app } = await openWorld()
    const { json } = await send(app, `GET /queues/${AWKWARD}`)
    expect(json.queue.name).toBe('a/b, c%')
  })

  it('finds a queue by its name without the prefix, and answers the whole name', async () => {
    const { app } = await openWorld({}, { prefix: 'eu-' })
    const { json } = await send(app, 'GET /queues/mail')
    expect(json.queue.name).toBe('eu-mail')
  })
})

describe('POST /queues/:queue/pause and /resume', () => {
  it('pauses and resumes, and answers the queue as it is then', async () => {
    const { app, handled } = await openWorld()
    await addJobs(app, 1)
    const paused = await send(app, 'POST /queues/mail/pause')
    expect(paused.status).toBe(200)
    expect(paused.json.queue).toMatchObject({ name: 'mail', paused: true })
    expect((await send(app, 'POST /next')).json.processed).toBe(0)
    const resumed = await send(app, 'POST /queues/mail/resume', {})
    expect(resumed.json.queue).toMatchObject({ name: 'mail', paused: false })
    await send(app, 'POST /next')
    expect(handled).toHaveLength(1)
  })
})

describe('POST /queues/:queue/jobs', () => {
  it('adds a job and answers it in full', async () => {
    const { app } = await openWorld()
    const options = { retries: 2, priority: 7, id: 'my-job', timeout: 1000 }
    const { status, json } = await send(app, 'POST /queues/mail/jobs', {
      data: { to: 'a' },
      options,
    })
    expect(status).toBe(201)
    expect(json).toEqual({
      job: {
        id: 'my-job',
        queueName: 'mail',
        state: 'PENDING',
        data: { to: 'a' },
        progress: 0,
        result: null,
        error: null,
        attempts: 0,
        retries: 2,
        priority: 7,
        createdAt: '2026-01-01T00:00:00.000Z',
        runAt: null,
        startedAt: null,
        settledAt: null,
        isSettled: false,
        duration: 0,
      },
    })
  })

  it('takes a delay in ms, or a moment as text', async () => {
    const { app } = await openWorld()
    const { json } = await send(app, 'POST /queues/mail/jobs', [
      { data: 1, options: { delay: 60_000 } },
      { data: 2, options: { runAt: '2026-01-01T02:00:00+01:00' } },
    ])
    expect(json.jobs.map(({ runAt }: { runAt: string }) => runAt)).toEqual([
      '2026-01-01T00:01:00.000Z',
      '2026-01-01T01:00:00.000Z',
    ])
  })

  it('adds a thousand jobs at once, in their order', async () => {
    const { app } = await openWorld()
    const bodies = Array.from({ length: 1000 }, (_, data) => ({ data }))
    const { status, json } = await send(app, `POST /queues/${AWKWARD}/jobs`, bodies)
    expect(status).toBe(201)
    expect(json.jobs.map(({ data }: { data: number }) => data)).toEqual(
      bodies.map((one) => one.data),
    )
    const { json: queue } = await send(app, `GET /queues/${AWKWARD}`)
    expect(queue.queue.counts.PENDING).toBe(1000)
  })

  it('answers an array of one as an array', async () => {
    const { app } = await openWorld()
    const { json } = await send(app, 'POST /queues/mail/jobs', [{ data: null }])
    expect(json.jobs).toHaveLength(1)
  })

  it('stores a field that is named __proto__ as it is, and pollutes nothing', async () => {
    const { app } = await openWorld()
    const body =
      '{"data":{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":1}}}}'
    const { status, json } = await send(app, 'POST /queues/mail/jobs', body)
    expect(status).toBe(201)
    const { json: found } = await send(app, `GET /jobs/${json.job.id}`)
    expect(JSON.stringify({ data: found.job.data })).toBe(body)
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined()
  })

  it('needs no token of the client to be told where the body ends', async () => {
    const { app } = await openWorld()
    const body = new Blob(['{"data":', '1}']).stream()
    const response = await app.request('/queues/mail/jobs', {
      method: 'POST',
      headers: { 'content-type': 'application/json; charset=utf-8' },
      body,
      duplex: 'half',
    } as RequestInit)
    expect(response.status).toBe(201)
  })
})

describe('GET /jobs', () => {
  const dataOf = (json: { items: { data: unknown }[] }): unknown[] =>
    json.items.map(({ data }) => data)

  it('lists the newest first, with the number of all', async () => {
    const { app, clock } = await openWorld()
    for (const data of [1, 2, 3]) {
      await addJobs(app, data)
      await clock.advance(1)
    }
    const { json } = await send(app, 'GET /jobs')
    expect(dataOf(json)).toEqual([3, 2, 1])
    expect(json.totalItems).toBe(3)
    expect(dataOf((await send(app, 'GET /jobs?skip=1&take=1')).json)).toEqual([2])
  })

  it('gives 100 jobs when it is not told how many, and up to 1,000', async () => {
    const { app } = await openWorld()
    await addJobs(app, ...Array.from({ length: 1000 }, (_, i) => i))
    expect((await send(app, 'GET /jobs')).json.items).toHaveLength(100)
    expect((await send(app, 'GET /jobs?take=1000')).json.items).toHaveLength(1000)
  })

  it('sorts by several fields, the first of them first', async () => {
    const { app } = await openWorld()
    await send(app, 'POST /queues/mail/jobs', [
      { data: 'b', options: { retries: 1, id: 'b' } },
      { data: 'c', options: { retries: 2, id: 'c' } },
      { data: 'a', options: { retries: 1, id: 'a' } },
    ])
    const { json } = await send(app, 'GET /jobs?sort=retries:DESC,id:ASC')
    expect(dataOf(json)).toEqual(['c', 'a', 'b'])
  })

  it.each([
    { why: 'one state', query: 'state=COMPLETED', data: [2] },
    { why: 'states between commas', query: 'state=COMPLETED,PENDING', data: [1, 2] },
    { why: 'states repeated', query: 'state=COMPLETED&state=PENDING', data: [1, 2] },
    { why: 'a queue', query: 'queueName=mail', data: [2] },
    { why: 'a queue with a comma in its name', query: `queueName=${AWKWARD}`, data: [1] },
    { why: 'queues repeated', query: `queueName=mail&queueName=${AWKWARD}`, data: [1, 2] },
    { why: 'queues between commas', query: 'queueName=mail,other', data: [2] },
    { why: 'a queue and a state', query: 'queueName=mail&state=PENDING', data: [] },
    { why: 'a queue that nobody has used', query: 'queueName=other', data: [] },
  ])('narrows to $why', async ({ query, data }) => {
    const { app } = await openWorld()
    await send(app, `POST /queues/${AWKWARD}/jobs`, { data: 1 })
    await addJobs(app, 2)
    await send(app, 'POST /next')
    const { json } = await send(app, `GET /jobs?${query}`)
    expect(dataOf(json).sort()).toEqual(data)
    expect(json.totalItems).toBe(data.length)
  })

  it('takes the name of a queue with or without the prefix', async () => {
    const { app } = await openWorld({}, { prefix: 'eu-' })
    await addJobs(app, 1)
    expect((await send(app, 'GET /jobs?queueName=mail')).json.totalItems).toBe(1)
    expect((await send(app, 'GET /jobs?queueName=eu-mail')).json.totalItems).toBe(1)
  })
})

describe('GET /jobs/:id', () => {
  it('gives a job with what came of it', async () => {
    const { app } = await openWorld()
    const [id] = await addJobs(app, { text: 'ä' })
    await send(app, 'POST /next')
    const { status, json } = await send(app, `GET /jobs/${id}`)
    expect(status).toBe(200)
    expect(json.job).toMatchObject({
      id,
      state: 'COMPLETED',
      result: { text: 'ä' },
      isSettled: true,
    })
  })
})

describe('POST /jobs/:id/cancel', () => {
  it('cancels a job that waits, and says so again when asked again', async () => {
    const { app } = await openWorld()
    const [id] = await addJobs(app, 1)
    for (const _ of ['first', 'again']) {
      const { status, json } = await send(app, `POST /jobs/${id}/cancel`)
      expect(status).toBe(200)
      expect(json.job).toMatchObject({ id, state: 'CANCELLED' })
    }
  })

  it('cancels a job that runs', async () => {
    const { app, clock } = await openWorld()
    const [id] = await addJobs(app, 'hang')
    const drained = send(app, 'POST /next')
    await clock.advance(0)
    expect((await send(app, `GET /jobs/${id}`)).json.job.state).toBe('RUNNING')
    const { status, json } = await send(app, `POST /jobs/${id}/cancel`)
    expect(status).toBe(200)
    expect(json.job.state).toBe('CANCELLED')
    expect((await clock.until(drained)).json.cancelled).toBe(1)
  })
})

describe('POST /jobs/:id/retry', () => {
  it('lets a failed job run again', async () => {
    const { app } = await openWorld()
    const [id] = await addJobs(app, 'fail')
    await send(app, 'POST /next')
    expect((await send(app, `GET /jobs/${id}`)).json.job).toMatchObject({
      state: 'FAILED',
      error: 'no route',
    })
    const { status, json } = await send(app, `POST /jobs/${id}/retry`)
    expect(status).toBe(200)
    expect(json.job).toMatchObject({ id, state: 'PENDING', attempts: 0, error: null })
  })
})

describe('DELETE /jobs/:id', () => {
  it('removes a settled job', async () => {
    const { app } = await openWorld()
    const [id] = await addJobs(app, 1)
    await send(app, `POST /jobs/${id}/cancel`)
    const { status, json } = await send(app, `DELETE /jobs/${id}`)
    expect([status, json]).toEqual([204, null])
    expect((await send(app, `GET /jobs/${id}`)).status).toBe(404)
  })
})

describe('DELETE /jobs', () => {
  it('removes every settled job when nothing narrows it', async () => {
    const { app } = await openWorld()
    await addJobs(app, 1, 2, 'fail')
    await send(app, 'POST /next', { maxJobs: 2 })
    const { status, json } = await send(app, 'DELETE /jobs')
    expect([status, json]).toEqual([200, { removed: 2 }])
    expect((await send(app, 'GET /queues/mail')).json.queue.counts.PENDING).toBe(1)
  })

  it('removes only what was settled before the moment', async () => {
    const { app, clock } = await openWorld()
    await addJobs(app, 1)
    await send(app, 'POST /next')
    await clock.advance(60_000)
    await addJobs(app, 2)
    await send(app, 'POST /next')
    const { json } = await send(app, 'DELETE /jobs?olderThan=2026-01-01T00:00:30Z')
    expect(json).toEqual({ removed: 1 })
    expect((await send(app, 'GET /jobs')).json.items[0].data).toBe(2)
  })

  it('removes from the named queues alone', async () => {
    const { app } = await openWorld()
    await addJobs(app, 1)
    await send(app, 'POST /next')
    const other = await send(app, `DELETE /jobs?queueName=${AWKWARD}`)
    expect(other.json).toEqual({ removed: 0 })
    const both = await send(app, `DELETE /jobs?queueName=${AWKWARD}&queueName=mail`)
    expect(both.json).toEqual({ removed: 1 })
  })
})

describe('POST /next', () => {
  it('gives what drain() gives, dates as text', async () => {
    const { app } = await openWorld()
    await addJobs(app, 1, 'fail')
    const { status, json } = await send(app, 'POST /next')
    expect(status).toBe(200)
    expect(json).toMatchObject({
      processed: 2,
      completed: 1,
      failed: 1,
      retried: 0,
      cancelled: 0,
      deferred: 0,
      stoppedBecause: 'empty',
      nextDueAt: null,
    })
    expect(Object.keys(json.operations)).toEqual(['reads', 'writes', 'deletes', 'lists'])
  })

  it('runs as many jobs as it is told', async () => {
    const { app } = await openWorld()
    await addJobs(app, 1, 2, 3)
    const { json } = await send(app, 'POST /next', { maxJobs: 1, budgetMs: 900_000 })
    expect(json).toMatchObject({
      processed: 1,
      stoppedBecause: 'max-jobs',
      nextDueAt: '2026-01-01T00:00:00.000Z',
    })
  })

  it('begins no job once its budget is used up', async () => {
    const { app, clock } = await openWorld()
    await addJobs(app, 'hang', 1)
    const drained = send(app, 'POST /next', { budgetMs: 1000 })
    await clock.advance(0)
    await clock.advance(1000)
    const { items } = (await send(app, 'GET /jobs?state=RUNNING')).json
    await send(app, `POST /jobs/${items[0].id}/cancel`)
    const { json } = await clock.until(drained)
    expect(json).toMatchObject({ processed: 1, cancelled: 1, stoppedBecause: 'budget' })
  })
})

describe('createApp()', () => {
  it.each([
    ['GET', '/queues'],
    ['GET', '/nope'],
    ['DELETE', '/jobs/nope'],
    ['POST', '/queues/mail/jobs'],
    ['GET', '/health'],
  ])('puts the headers of safety on %s %s', async (method, path) => {
    const { app } = await openWorld()
    const { headers } = await send(app, `${method} ${path}`)
    expect(Object.fromEntries(headers)).toMatchObject({
      'x-content-type-options': 'nosniff',
      'cache-control': 'no-store',
      'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
      'referrer-policy': 'no-referrer',
    })
    expect([...headers.keys()].filter((name) => name.startsWith('access-control'))).toEqual([])
    expect(headers.get('content-type')).toMatch(/^application\/json/)
  })

  it.each([
    { why: 'an unknown path', request: 'GET /nope' },
    { why: 'the path of what comes later', request: 'GET /' },
    { why: 'another method on a known path', request: 'PUT /queues' },
    { why: 'another method on a job', request: 'PATCH /jobs/x' },
    { why: 'OPTIONS, since no other origin may ask', request: 'OPTIONS /queues' },
    { why: 'a job without an id', request: 'POST /jobs//cancel' },
  ])('answers 404 route-not-found to $why', async ({ request }) => {
    const { app } = await openWorld()
    const { status, json } = await send(app, request)
    expect([status, json.error.code]).toEqual([404, 'route-not-found'])
  })

  it('answers HEAD as GET, without the body', async () => {
    const { app } = await openWorld()
    expect((await send(app, 'HEAD /queues')).status).toBe(200)
  })

  describe('mounted in another app', () => {
    it('serves every route under its path, and leaves the other routes alone', async () => {
      const { service } = await openWorld()
      const app = new Hono()
        .get('/hello', (c) => c.text('Hello'))
        .route('/work', createApp(service, { token: 'secret' }))
      const authorization = { authorization: 'Bearer secret' }
      expect((await app.request('/hello')).status).toBe(200)
      expect((await app.request('/work/health')).status).toBe(200)
      expect((await app.request('/work/queues')).status).toBe(401)
      const queues = await send(app, 'GET /work/queues/mail', undefined, authorization)
      expect(queues.json.queue.name).toBe('mail')
      const unknown = await send(app, `GET /work/jobs/${UNKNOWN_ID}`, undefined, authorization)
      expect(unknown.json.error.code).toBe('job-not-found')
      expect(unknown.headers.get('cache-control')).toBe('no-store')
    })

    it('answers unknown routes itself under its own path, and not elsewhere', async () => {
      const { service } = await openWorld()
      const app = new Hono().route('/work', createApp(service))
      app.notFound((c) => c.text('outer', 404))
      expect((await send(app, 'GET /work/nope')).json.error.code).toBe('route-not-found')
      expect(await (await app.request('/nope')).text()).toBe('outer')
    })

    it('lets routes that follow at the same path be found', async () => {
      const { service } = await openWorld()
      const app = new Hono().route('/', createApp(service))
      app.get('/later', (c) => c.text('later'))
      expect(await (await app.request('/later')).text()).toBe('later')
      expect((await send(app, 'GET /nope')).json.error.code).toBe('route-not-found')
    })
  })
})
