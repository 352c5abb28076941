import { Hono } from 'hono'
import { describe, expect, it } from 'vitest'
import { createApp, createDoor } from '../../src/http/main.ts'
import { openWorld, send } from './requests.ts'

const SECRET = 'b3-very.secret~token'
const EVERY_ROUTE = [
  'GET /queues',
  'GET /queues/mail',
  'POST /queues/mail/jobs',
  'POST /queues/mail/pause',
  'POST /queues/mail/resume',
  'GET /jobs',
  'DELETE /jobs',
  'GET /jobs/x',
  'POST /jobs/x/cancel',
  'POST /jobs/x/retry',
  'DELETE /jobs/x',
  'POST /next',
  'GET /nope',
  'HEAD /queues',
  'OPTIONS /queues',
]

describe('the door with a token', () => {
  it.each(EVERY_ROUTE)('stands before %s', async (request) => {
    const { app } = await openWorld({ token: SECRET })
    const { status, headers, json } = await send(app, request)
    expect(status).toBe(401)
    expect(headers.get('www-authenticate')).toBe('Bearer')
    expect(headers.get('content-security-policy')).toContain("default-src 'none'")
    if (!request.startsWith('HEAD')) expect(json.error.code).toBe('unauthorized')
  })

  it('does not stand before GET /health', async () => {
    const { app } = await openWorld({ token: SECRET })
    expect((await send(app, 'GET /health')).status).toBe(200)
  })

  it.each([
    { why: 'the token', authorization: `Bearer ${SECRET}`, status: 200 },
    { why: 'the scheme in lower case', authorization: `bearer ${SECRET}`, status: 200 },
    { why: 'no header', authorization: undefined, status: 401 },
    { why: 'an empty header', authorization: '', status: 401 },
    { why: 'the scheme alone', authorization: 'Bearer', status: 401 },
    { why: 'an empty token', authorization: 'Bearer ', status: 401 },
    { why: 'the token alone', authorization: SECRET, status: 401 },
    { why: 'another scheme', authorization: `Basic ${SECRET}`, status: 401 },
    {
      why: 'the beginning of the token',
      authorization: `Bearer ${SECRET.slice(0, -1)}`,
      status: 401,
    },
    { why: 'the token and more', authorization: `Bearer ${SECRET}x`, status: 401 },
    { why: 'the token twice', authorization: `Bearer ${SECRET}${SECRET}`, status: 401 },
    { why: 'two tokens', authorization: `Bearer ${SECRET} ${SECRET}`, status: 401 },
    {
      why: 'the token in another case',
      authorization: `Bearer ${SECRET.toUpperCase()}`,
      status: 401,
    },
    {
      why: 'a token of the same length',
      authorization: `Bearer ${'x'.repeat(SECRET.length)}`,
      status: 401,
    },
    { why: 'a token of a megabyte', authorization: `Bearer ${'x'.repeat(2 ** 20)}`, status: 401 },
  ])('answers $status to $why', async ({ authorization, status }) => {
    const { app } = await openWorld({ token: SECRET })
    const headers = authorization === undefined ? {} : { authorization }
    expect((await send(app, 'GET /queues', undefined, headers)).status).toBe(status)
  })

  it('does not take the token from anywhere else', async () => {
    const { app } = await openWorld({ token: SECRET })
    const request = `GET /queues?token=${SECRET}&access_token=${SECRET}`
    expect((await send(app, request, undefined, { 'x-token': SECRET })).status).toBe(401)
  })

  it('lets any host and any origin in, and says nothing of other origins', async () => {
    const { app } = await openWorld({ token: SECRET })
    const headers = {
      authorization: `Bearer ${SECRET}`,
      host: 'jobs.example.org',
      origin: 'https://evil.example',
    }
    const answer = await send(app, 'GET /queues', undefined, headers)
    expect(answer.status).toBe(200)
    expect(answer.headers.has('access-control-allow-origin')).toBe(false)
  })

  it('wants a type of a POST that has a body, and of no other', async () => {
    const { app } = await openWorld({ token: SECRET })
    const headers = { authorization: `Bearer ${SECRET}` }
    const post = (path: string, body: string | null): Response | Promise<Response> =>
      app.request(path, { method: 'POST', headers, body })
    expect((await post('/next', null)).status).toBe(200)
    expect((await post('/queues/mail/pause', null)).status).toBe(200)
    expect((await post('/queues/mail/jobs', '{"data":1}')).status).toBe(415)
    expect((await post('/next', '{}')).status).toBe(415)
  })

  it('is the door whatever else is asked for', async () => {
    for (const auth of ['token', 'loopback', 'closed', 'none'] as const) {
      const { app } = await openWorld({ token: SECRET, auth })
      expect((await send(app, 'GET /queues')).status).toBe(401)
      const headers = { authorization: `Bearer ${SECRET}`, host: 'example.org' }
      expect((await send(app, 'GET /queues', undefined, headers)).status).toBe(200)
    }
  })

  it('shuts nobody out by an empty token, and lets nobody in by one', async () => {
    const { app } = await openWorld({ token: '' })
    const host = 'jobs.example.org'
    expect((await send(app, 'GET /queues')).status).toBe(200)
    expect((await send(app, 'GET /queues', undefined, { host })).status).toBe(403)
    const authorization = 'Bearer '
    expect((await send(app, 'GET /queues', undefined, { host, authorization })).status).toBe(403)
  })

  it.each([
    { why: 'a space', token: 'two words' },
    { why: 'the end of a line', token: `${SECRET}\n` },
    { why: 'a letter that no header carries', token: 'schlüssel' },
  ])('is refused when the token has $why', async ({ token }) => {
    const { service } = await openWorld()
    expect(() => createApp(service, { token })).toThrow(/Cannot create the app: the token has/)
    expect(() => createApp(service, { token })).not.toThrow(token)
  })

  it('is refused when a token is wanted and there is none', async () => {
    const { service } = await openWorld()
    expect(() => createApp(service, { auth: 'token' })).toThrow(
      expect.objectContaining({ code: 'input-invalid' }),
    )
    expect(() => createApp(service, { auth: 'token', token: '' })).toThrow(/there is no token/)
  })

  it('is refused when it is of a kind that nobody knows', async () => {
    const { service } = await openWorld()
    expect(() => createApp(service, { auth: 'off' as 'none' })).toThrow(/loopback, closed or none/)
  })
})

describe('the door on loopback', () => {
  it.each([
    'localhost',
    'localhost:3000',
    'LocalHost:3000',
    '127.0.0.1',
    '127.0.0.1:65535',
    '127.255.1.2:80',
    '[::1]',
    '[::1]:3000',
  ])('lets the host %s in', async (host) => {
    const { app } = await openWorld()
    expect((await send(app, 'GET /queues', undefined, { host })).status).toBe(200)
  })

  it.each([
    'example.org',
    'localhost.evil.example',
    'localhost.',
    'localhost.:3000',
    'evil.localhost',
    'localhost:',
    'localhost:port',
    'localhost:123456',
    'localhost, evil.example',
    'localhost@evil.example',
    'localhost:80@evil.example',
    'localhost/evil.example',
    'notlocalhost',
    '127.0.0.1.evil.example',
    '127.0.0.1.nip.io',
    '127.0.0.256',
    '127.0.0.01',
    '127.1',
    '128.0.0.1',
    '0.0.0.0',
    '0.0.0.0:3000',
    '10.0.0.1',
    '192.168.1.10:3000',
    '169.254.169.254',
    '::1',
    '[::]',
    '[::2]',
    '[::1].evil.example',
    '[::ffff:127.0.0.1]',
    '[::1%25eth0]',
    '2130706433',
    '0x7f000001',
    '',
  ])('refuses the host "%s"', async (host) => {
    const { app } = await openWorld()
    const { status, json } = await send(app, 'GET /queues', undefined, { host })
    expect([status, json.error.code]).toEqual([403, 'forbidden'])
  })

  it('looks at the URL where there is no Host header', async () => {
    const { app } = await openWorld()
    expect((await app.request('http://127.0.0.1:3000/queues')).status).toBe(200)
    expect((await app.request('http://jobs.example.org/queues')).status).toBe(403)
  })

  it.each([
    { origin: undefined, host: 'localhost:3000', status: 200 },
    { origin: 'http://localhost:3000', host: 'localhost:3000', status: 200 },
    { origin: 'HTTP://LOCALHOST:3000', host: 'localhost:3000', status: 200 },
    { origin: 'https://localhost:3000', host: 'localhost:3000', status: 200 },
    { origin: 'http://[::1]:3000', host: '[::1]:3000', status: 200 },
    { origin: 'http://localhost', host: 'localhost', status: 200 },
    { origin: 'null', host: 'localhost:3000', status: 403 },
    { origin: '', host: 'localhost:3000', status: 403 },
    { origin: 'https://evil.example', host: 'localhost:3000', status: 403 },
    { origin: 'http://localhost:3001', host: 'localhost:3000', status: 403 },
    { origin: 'http://localhost', host: 'localhost:3000', status: 403 },
    { origin: 'http://127.0.0.1:3000', host: 'localhost:3000', status: 403 },
    { origin: 'http://localhost:3000.evil.example', host: 'localhost:3000', status: 403 },
    { origin: 'http://localhost:3000@evil.example', host: 'localhost:3000', status: 403 },
    { origin: 'http://evil.example/http://localhost:3000', host: 'localhost:3000', status: 403 },
    { origin: 'http://localhost:3000 https://evil.example', host: 'localhost:3000', status: 403 },
    { origin: 'file://', host: 'localhost:3000', status: 403 },
    { origin: 'chrome-extension://abc', host: 'localhost:3000', status: 403 },
    { origin: 'ws://localhost:3000', host: 'localhost:3000', status: 403 },
  ])('answers $status to the origin "$origin" at $host', async ({ origin, host, status }) => {
    const { app } = await openWorld()
    const headers = { host, ...(origin !== undefined && { origin }) }
    expect((await send(app, 'GET /queues', undefined, headers)).status).toBe(status)
    const removal = await send(app, 'DELETE /jobs', undefined, headers)
    expect(removal.status).toBe(status)
  })

  it.each([
    { path: '/queues/mail/jobs', body: '{"data":1}', done: 201 },
    { path: '/queues/mail/pause', body: null, done: 200 },
    { path: '/queues/mail/resume', body: null, done: 200 },
    { path: '/jobs/x/cancel', body: null, done: 404 },
    { path: '/jobs/x/retry', body: null, done: 404 },
    { path: '/next', body: null, done: 200 },
    { path: '/next', body: '{}', done: 200 },
  ])('wants POST $path to be of a type that no form can send', async ({ path, body, done }) => {
    const { app } = await openWorld()
    const post = async (type: string | null): Promise<number> => {
      const headers: Record<string, string> = type === null ? {} : { 'content-type': type }
      return (await app.request(path, { method: 'POST', headers, body })).status
    }
    expect(await post(null)).toBe(415)
    expect(await post('text/plain')).toBe(415)
    expect(await post('application/x-www-form-urlencoded')).toBe(415)
    expect(await post('multipart/form-data; boundary=application/json')).toBe(415)
    expect(await post('text/plain; application/json')).toBe(415)
    expect(await post('application/json')).toBe(done)
    expect(await post('Application/JSON; charset=utf-8')).toBe(done)
  })

  it('does not stand before GET /health', async () => {
    const { app } = await openWorld()
    const headers = { host: 'jobs.example.org', origin: 'https://evil.example' }
    expect((await send(app, 'GET /health', undefined, headers)).status).toBe(200)
  })
})

describe('the closed door', () => {
  it.each(EVERY_ROUTE)('stands before %s', async (request) => {
    const { app } = await openWorld({ auth: 'closed' })
    const { status, json } = await send(app, request, undefined, { authorization: 'Bearer x' })
    expect(status).toBe(403)
    if (request.startsWith('HEAD')) return
    expect(json.error.code).toBe('forbidden')
    expect(json.error.message).toContain('WHERRY_TOKEN')
  })

  it('does not stand before GET /health', async () => {
    const { app } = await openWorld({ auth: 'closed' })
    expect((await send(app, 'GET /health')).status).toBe(200)
  })
})

describe('no door', () => {
  it('lets everyone in who says what a body is', async () => {
    const { app } = await openWorld({ auth: 'none' })
    const headers = { host: 'jobs.example.org', origin: 'https://elsewhere.example' }
    expect((await send(app, 'GET /queues', undefined, headers)).status).toBe(200)
    expect((await app.request('/next', { method: 'POST', headers })).status).toBe(200)
    const body = '{"data":1}'
    const answer = await app.request('/queues/mail/jobs', { method: 'POST', headers, body })
    expect(answer.status).toBe(415)
  })
})

describe('createDoor()', () => {
  it('stands before the routes of another app, and answers by itself', async () => {
    const app = new Hono().use('/search', createDoor({ token: SECRET }))
    app.get('/search', (c) => c.json({ hits: [] }))
    const { status, headers, json } = await send(app, 'GET /search')
    expect([status, json.error.code]).toEqual([401, 'unauthorized'])
    expect(headers.get('www-authenticate')).toBe('Bearer')
    const authorization = `Bearer ${SECRET}`
    expect((await send(app, 'GET /search', undefined, { authorization })).status).toBe(200)
  })
})
