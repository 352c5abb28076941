import type { Hono } from 'hono'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { addJobs, openWorld, send } from './requests.ts'

interface Row {
  readonly why: string
  readonly request: string
  readonly body?: unknown
  readonly headers?: Record<string, string>
  readonly status: number
  readonly code: string
  /** What the message has to name. */
  readonly names: string
}

const add = 'POST /queues/mail/jobs'
const invalid = { status: 400, code: 'input-invalid' }
const ok = { data: 1 }

function option(name: string, value: unknown): Pick<Row, 'request' | 'body'> {
  return { request: add, body: { data: 1, options: { [name]: value } } }
}

const BODIES: Row[] = [
  {
    why: 'text that is no JSON',
    request: add,
    body: '{"data":',
    status: 400,
    code: 'json-malformed',
    names: 'body',
  },
  {
    why: 'NaN, which JSON has not',
    request: add,
    body: '{"data":NaN}',
    status: 400,
    code: 'json-malformed',
    names: 'body',
  },
  { why: 'no body', request: add, ...invalid, names: 'an object' },
  { why: 'a number as body', request: add, body: 5, ...invalid, names: 'an object' },
  { why: 'null as body', request: add, body: 'null', ...invalid, names: 'an object' },
  { why: 'no data', request: add, body: {}, ...invalid, names: 'data' },
  {
    why: 'a field that is not known',
    request: add,
    body: { data: 1, option: {} },
    ...invalid,
    names: '"option"',
  },
  {
    why: 'a field __proto__',
    request: add,
    body: '{"data":1,"__proto__":{}}',
    ...invalid,
    names: '__proto__',
  },
  { why: 'no jobs', request: add, body: [], ...invalid, names: '1 to 1000' },
  { why: '1,001 jobs', request: add, body: Array(1001).fill(ok), ...invalid, names: '1 to 1000' },
  {
    why: 'a bad job among good ones',
    request: add,
    body: [ok, { datum: 1 }, ok],
    ...invalid,
    names: 'body[1]',
  },
  {
    why: 'a bad option among good jobs',
    request: add,
    body: [ok, { data: 1, options: { delay: -1 } }],
    ...invalid,
    names: 'delay',
  },
  { why: 'an array in an array', request: add, body: [[ok]], ...invalid, names: 'body[0]' },
  {
    why: 'options that are no object',
    request: add,
    body: { data: 1, options: null },
    ...invalid,
    names: 'options',
  },
  {
    why: 'options in an array',
    request: add,
    body: { data: 1, options: [] },
    ...invalid,
    names: 'options',
  },
  { why: 'an unknown option', ...option('retry', 1), ...invalid, names: '"retry"' },
  { why: 'retries as text', ...option('retries', '1'), ...invalid, names: 'retries' },
  { why: 'negative retries', ...option('retries', -1), ...invalid, names: 'retries' },
  { why: 'retries that are null', ...option('retries', null), ...invalid, names: 'retries' },
  {
    why: 'endless retries',
    request: add,
    body: '{"data":1,"options":{"retries":1e999}}',
    ...invalid,
    names: 'retries',
  },
  { why: 'a delay that is no whole number', ...option('delay', 0.5), ...invalid, names: 'delay' },
  { why: 'a priority out of range', ...option('priority', 2048), ...invalid, names: 'priority' },
  { why: 'no time at all', ...option('timeout', 0), ...invalid, names: 'timeout' },
  { why: 'an id that is a number', ...option('id', 5), ...invalid, names: 'id' },
  { why: 'an id that is null', ...option('id', null), ...invalid, names: 'id' },
  {
    why: 'an id out of the alphabet',
    ...option('id', 'a/b'),
    status: 400,
    code: 'name-invalid',
    names: 'a/b',
  },
  {
    why: 'an id that is too long',
    ...option('id', 'x'.repeat(65)),
    status: 400,
    code: 'name-invalid',
    names: 'xxx',
  },
  {
    why: 'a moment as a number',
    ...option('runAt', 1_800_000_000_000),
    ...invalid,
    names: 'runAt',
  },
  { why: 'a moment that is none', ...option('runAt', 'tomorrow'), ...invalid, names: 'runAt' },
  {
    why: 'a moment without a zone',
    ...option('runAt', '2026-01-01T00:00:00'),
    ...invalid,
    names: 'runAt',
  },
  { why: 'February 30', ...option('runAt', '2026-02-30T00:00:00Z'), ...invalid, names: 'runAt' },
  {
    why: 'a delay and a moment',
    request: add,
    body: { data: 1, options: { delay: 1, runAt: '2027-01-01' } },
    ...invalid,
    names: 'delay',
  },
  {
    why: 'an id that is taken',
    ...option('id', 'taken'),
    status: 409,
    code: 'id-taken',
    names: 'taken',
  },
  {
    why: 'one id twice in a batch',
    request: add,
    body: [1, 2].map((data) => ({ data, options: { id: 'twice' } })),
    status: 409,
    code: 'id-taken',
    names: 'twice',
  },
  {
    why: 'a batch of which one id is taken',
    request: add,
    body: [ok, { data: 1, options: { id: 'taken' } }],
    status: 409,
    code: 'id-taken',
    names: 'taken',
  },
  {
    why: 'data nested too deep',
    request: add,
    body: `{"data":${'['.repeat(5000)}${']'.repeat(5000)}}`,
    ...invalid,
    names: 'nested',
  },
  {
    why: 'data nested deeper than a stack',
    request: add,
    body: `{"data":${'{"a":'.repeat(90_000)}1${'}'.repeat(90_000)}}`,
    ...invalid,
    names: 'nested',
  },
  {
    why: 'numbers that JSON alone would lose, at the end of long paths',
    request: add,
    body: `{"data":${'['.repeat(150)}${Array(50_000).fill('-0')}${']'.repeat(150)}}`,
    ...invalid,
    names: 'paths',
  },
  {
    why: 'the same under a long key',
    request: add,
    body: `{"data":{"${'k'.repeat(100_000)}":[${Array(50_000).fill('1e999')}]}}`,
    ...invalid,
    names: 'paths',
  },
  {
    why: 'another type',
    request: add,
    body: ok,
    headers: { 'content-type': 'text/plain' },
    status: 415,
    code: 'media-type-unsupported',
    names: 'application/json',
  },
  {
    why: 'a form',
    request: add,
    body: 'data=1',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    status: 415,
    code: 'media-type-unsupported',
    names: 'application/json',
  },
  {
    why: 'a type that only starts like it',
    request: add,
    body: ok,
    headers: { 'content-type': 'application/json5' },
    status: 415,
    code: 'media-type-unsupported',
    names: 'application/json',
  },
  {
    why: 'a body over 1 MiB',
    request: add,
    body: { data: 'x'.repeat(2 ** 20) },
    status: 413,
    code: 'body-too-large',
    names: '1048576',
  },
  {
    why: 'a body that says it is over 1 MiB',
    request: add,
    body: ok,
    headers: { 'content-length': '1048577' },
    status: 413,
    code: 'body-too-large',
    names: '1048576',
  },
  {
    why: 'a body over 1 MiB where none is wanted',
    request: 'DELETE /jobs',
    body: 'x'.repeat(2 ** 20 + 1),
    status: 413,
    code: 'body-too-large',
    names: '1048576',
  },
  {
    why: 'an unknown queue',
    request: 'POST /queues/other/jobs',
    body: ok,
    status: 404,
    code: 'queue-not-found',
    names: 'other',
  },
  {
    why: 'fields where none are known',
    request: 'POST /queues/mail/pause',
    body: { forMs: 1 },
    ...invalid,
    names: 'forMs',
  },
  {
    why: 'the same at resume',
    request: 'POST /queues/mail/resume',
    body: [1],
    ...invalid,
    names: 'object',
  },
  {
    why: 'the same at cancel',
    request: 'POST /jobs/taken/cancel',
    body: { why: 1 },
    ...invalid,
    names: 'why',
  },
  {
    why: 'the same at retry',
    request: 'POST /jobs/done/retry',
    body: { retries: 1 },
    ...invalid,
    names: 'retries',
  },
]

const DRAINS: Row[] = [
  { why: 'an unknown field', request: 'POST /next', body: { max: 1 }, ...invalid, names: '"max"' },
  {
    why: 'a body that is no object',
    request: 'POST /next',
    body: '5',
    ...invalid,
    names: 'object',
  },
  {
    why: 'no JSON',
    request: 'POST /next',
    body: 'maxJobs=1',
    status: 400,
    code: 'json-malformed',
    names: 'body',
  },
  {
    why: 'a parameter instead of a body',
    request: 'POST /next?maxJobs=1',
    ...invalid,
    names: 'maxJobs',
  },
  { why: 'no job', request: 'POST /next', body: { maxJobs: 0 }, ...invalid, names: 'maxJobs' },
  {
    why: 'half a job',
    request: 'POST /next',
    body: { maxJobs: 1.5 },
    ...invalid,
    names: 'maxJobs',
  },
  {
    why: 'jobs as text',
    request: 'POST /next',
    body: { maxJobs: '1' },
    ...invalid,
    names: 'maxJobs',
  },
  {
    why: 'jobs that are null',
    request: 'POST /next',
    body: { maxJobs: null },
    ...invalid,
    names: 'maxJobs',
  },
  { why: 'no time', request: 'POST /next', body: { budgetMs: 0 }, ...invalid, names: 'budgetMs' },
  {
    why: 'over a quarter of an hour',
    request: 'POST /next',
    body: { budgetMs: 900_001 },
    ...invalid,
    names: '900000',
  },
]

const QUERIES: Row[] = [
  ['an unknown parameter', 'GET /jobs?queue=mail', '"queue"'],
  ['a parameter in the wrong case', 'GET /jobs?queuename=mail', '"queuename"'],
  ['a parameter __proto__', 'GET /jobs?__proto__=1', '__proto__'],
  ['no name of a queue', 'GET /jobs?queueName=', 'queueName'],
  ['a comma too many', 'GET /jobs?queueName=mail,', 'queueName'],
  ['an unknown state', 'GET /jobs?state=DONE', 'PENDING'],
  ['a state in lower case', 'GET /jobs?state=pending', 'PENDING'],
  ['a state that every object has', 'GET /jobs?state=toString', 'PENDING'],
  ['no state', 'GET /jobs?state=', 'state'],
  ['a comma too many', 'GET /jobs?state=PENDING,', 'state'],
  ['a negative skip', 'GET /jobs?skip=-1', 'skip'],
  ['a skip that is no number', 'GET /jobs?skip=one', 'skip'],
  ['no take', 'GET /jobs?take=', 'take'],
  ['a take of none', 'GET /jobs?take=0', '1000'],
  ['a take over the most', 'GET /jobs?take=1001', '1000'],
  ['a take in hexadecimal', 'GET /jobs?take=0x10', 'take'],
  ['a take with a point', 'GET /jobs?take=1.0', 'take'],
  ['a take beyond all numbers', `GET /jobs?take=${'9'.repeat(400)}`, 'take'],
  ['a take given twice', 'GET /jobs?take=1&take=1000', 'take'],
  ['an unknown field to sort by', 'GET /jobs?sort=data:ASC', 'createdAt'],
  ['a field that every object has', 'GET /jobs?sort=__proto__:ASC', 'createdAt'],
  ['no order', 'GET /jobs?sort=createdAt', 'ASC'],
  ['an unknown order', 'GET /jobs?sort=createdAt:desc', 'ASC'],
  ['an order too many', 'GET /jobs?sort=createdAt:DESC:ASC', 'ASC'],
  ['no sort', 'GET /jobs?sort=', 'sort'],
  ['a field twice', 'GET /jobs?sort=id:ASC,id:DESC', 'sort'],
  ['an unknown parameter', 'DELETE /jobs?queueNames=mail', '"queueNames"'],
  ['a parameter of the list', 'DELETE /jobs?state=FAILED', '"state"'],
  ['no name of a queue', 'DELETE /jobs?queueName=', 'queueName'],
  ['a comma too many', 'DELETE /jobs?queueName=mail,,', 'queueName'],
  ['a moment that is none', 'DELETE /jobs?olderThan=yesterday', 'olderThan'],
  ['no moment', 'DELETE /jobs?olderThan=', 'olderThan'],
  ['a moment in milliseconds', 'DELETE /jobs?olderThan=1767225600000', 'olderThan'],
  ['two moments', 'DELETE /jobs?olderThan=2026-01-01&olderThan=2027-01-01', 'olderThan'],
].map(([why, request, names]) => ({ why, request, names, ...invalid }) as Row)

const missing = (request: string, kind: string, names: string): Row => ({
  why: `an unknown ${kind}`,
  request,
  status: 404,
  code: `${kind}-not-found`,
  names,
})

const MISSING: Row[] = [
  missing('GET /queues/other', 'queue', 'other'),
  missing('GET /queues/__proto__', 'queue', '__proto__'),
  missing('POST /queues/other/pause', 'queue', 'other'),
  missing('POST /queues/other/resume', 'queue', 'other'),
  missing('DELETE /jobs?queueName=other', 'queue', 'other'),
  missing('DELETE /jobs?queueName=mail,other', 'queue', 'other'),
  missing('GET /jobs/none', 'job', 'none'),
  missing('GET /jobs/not%2Fan%20id', 'job', 'not/an id'),
  missing('GET /jobs/%E0%A4%A', 'job', ''),
  missing(`GET /jobs/${'x'.repeat(5000)}`, 'job', 'xxx'),
  missing('POST /jobs/none/cancel', 'job', 'none'),
  missing('POST /jobs/none/retry', 'job', 'none'),
  missing('DELETE /jobs/none', 'job', 'none'),
]

const CONFLICTS: Row[] = [
  {
    why: 'to cancel a job that completed',
    request: 'POST /jobs/done/cancel',
    status: 409,
    code: 'job-settled',
    names: 'COMPLETED',
  },
  {
    why: 'to cancel a job that failed',
    request: 'POST /jobs/failed/cancel',
    status: 409,
    code: 'job-settled',
    names: 'FAILED',
  },
  {
    why: 'to retry a job that waits',
    request: 'POST /jobs/taken/retry',
    status: 409,
    code: 'job-unsettled',
    names: 'PENDING',
  },
  {
    why: 'to remove a job that waits',
    request: 'DELETE /jobs/taken',
    status: 409,
    code: 'job-unsettled',
    names: 'PENDING',
  },
]

describe('a request that cannot be granted', () => {
  let app: Hono
  let before: unknown

  const counts = async (): Promise<unknown> => (await send(app, 'GET /queues')).json

  beforeAll(async () => {
    const world = await openWorld()
    app = world.app
    const own = (id: string, data: unknown, runAt?: string): unknown => ({
      data,
      options: { id, ...(runAt && { runAt }) },
    })
    await send(app, add, [own('done', 1), own('failed', 'fail'), own('taken', 1, '2027-01-01')])
    await send(app, 'POST /next')
    await addJobs(app, 2, 3)
    before = await counts()
    expect(before).toMatchObject({
      items: [{ counts: { PENDING: 3, COMPLETED: 1, FAILED: 1 } }, { counts: { PENDING: 0 } }],
    })
  })

  describe.each([
    ['body', BODIES],
    ['drain', DRAINS],
    ['query', QUERIES],
    ['subject', MISSING],
    ['moment', CONFLICTS],
  ])('for its %s', (_, rows) => {
    it.each(rows)('is refused with $code: $why ($request)', async (row) => {
      const { status, json, headers } = await send(app, row.request, row.body, row.headers)
      expect([status, json.error.code]).toEqual([row.status, row.code])
      expect(Object.keys(json)).toEqual(['error'])
      expect(Object.keys(json.error)).toEqual(['code', 'message'])
      expect(json.error.message).toMatch(/^Cannot [^.]+/)
      expect(json.error.message).toContain(row.names)
      expect(json.error.message.length).toBeLessThan(400)
      expect(headers.get('content-type')).toBe('application/json')
    })
  })

  afterAll(async () => {
    expect(await counts()).toEqual(before)
  })
})

describe('the limit of a body', () => {
  it('is what the app was told', async () => {
    const { app } = await openWorld({ bodyLimitBytes: 20 })
    expect((await send(app, add, '{"data":"1234567890"}')).status).toBe(413)
    expect((await send(app, add, '{"data":"123456789"}')).status).toBe(201)
  })

  it('holds for a body whose length nobody knows before', async () => {
    const { app } = await openWorld()
    let sent = 0
    const body = new ReadableStream({
      pull(controller) {
        sent += 2 ** 16
        controller.enqueue(new Uint8Array(2 ** 16).fill(32))
      },
    })
    const response = await app.request('/queues/mail/jobs', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
      duplex: 'half',
    } as RequestInit)
    expect(response.status).toBe(413)
    expect(await response.json()).toMatchObject({ error: { code: 'body-too-large' } })
    expect(sent).toBeLessThan(2 ** 21)
  })

  it('is not met by text that is no UTF-8', async () => {
    const { app } = await openWorld()
    const response = await app.request('/queues/mail/jobs', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: new Uint8Array([...new TextEncoder().encode('{"data":"'), 0xff, 0x22, 0x7d]),
    })
    expect(await response.json()).toMatchObject({ error: { code: 'json-malformed' } })
  })
})
