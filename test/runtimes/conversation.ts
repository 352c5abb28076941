/**
 * One conversation with the example app over HTTP, good input and bad. Every runtime and every store
 * has to give the same answers, but for ids, times and what `/health` says of itself.
 */
import { TOKEN } from './servers.ts'

export interface Turn {
  readonly ask: string
  readonly status: number
  readonly body: unknown
}

interface Ask {
  readonly method?: string
  readonly path: string
  readonly body?: unknown
  /** Sent as it is. */
  readonly text?: string
  readonly headers?: Readonly<Record<string, string>>
}

const QUEUE = '/queues/index-document'
const TEXT = 'A wherry is a light boat. The boat carries jobs.'
const WAIT_MS_MAX = 20_000

/** Asks everything, and writes down every answer. */
export async function converse(url: string): Promise<Turn[]> {
  const turns: Turn[] = []
  const send = async (name: string, ask: Ask): Promise<Record<string, never>> => {
    const { status, body } = await request(url, ask)
    turns.push({ ask: name, status, body: neutral(body) })
    return body as Record<string, never>
  }
  await greet(send)
  const ids = await work(send, url)
  const before = await totals(url)
  for (const [name, ask] of Object.entries(badAsks(ids))) await send(name, ask)
  const after = await totals(url)
  turns.push({
    ask: 'the totals are as before',
    status: 200,
    body: JSON.stringify(after) === JSON.stringify(before),
  })
  await sweep(send, ids)
  return turns
}

type Send = (name: string, ask: Ask) => Promise<Record<string, never>>

async function greet(send: Send): Promise<void> {
  await send('health needs no token', { path: '/health', headers: { authorization: '' } })
  await send('no token', { path: '/queues', headers: { authorization: '' } })
  await send('a wrong token', { path: '/queues', headers: { authorization: `Bearer ${TOKEN}x` } })
  await send('a token of another kind', {
    path: '/queues',
    headers: { authorization: `Basic ${TOKEN}` },
  })
  await send('a foreign Origin, with the token', {
    path: '/queues',
    headers: { origin: 'https://evil.example' },
  })
  await send('the queues', { path: '/queues' })
  await send('a queue', { path: QUEUE })
}

async function work(send: Send, url: string): Promise<string[]> {
  const one = await send('add one', {
    path: `${QUEUE}/jobs`,
    body: { data: { path: 'boat.md', text: TEXT } },
  })
  const own = await send('add one with an id', {
    path: `${QUEUE}/jobs`,
    body: {
      data: { path: 'b.md', text: 'boat' },
      options: { id: 'own-id', retries: 2, priority: 5 },
    },
  })
  const many = await send('add several', {
    path: `${QUEUE}/jobs`,
    body: [{ data: { path: 'c.md', text: 'other' } }, { data: { path: 'd.md', text: 'words' } }],
  })
  const rich = await send('add rich data', {
    path: `${QUEUE}/jobs`,
    body: {
      data: { path: 'e.md', text: 'rich', at: '2026-01-01T00:00:00.000Z' },
      meta: { data: { values: { at: ['Date'] } } },
    },
  })
  const jobs = [
    one['job'],
    own['job'],
    ...(many['jobs'] as unknown as { id: string }[]),
    rich['job'],
  ] as {
    id: string
  }[]
  const ids = jobs.map(({ id }) => id)
  for (const id of ids) await untilSettled(url, id)
  for (const id of ids) await send('a settled job', { path: `/jobs/${id}` })
  await send('search', { path: '/search?q=boat' })
  await send('search for what is not there', { path: '/search?q=zeppelin' })
  await send('list', {
    path: '/jobs?queueName=index-document&state=COMPLETED,FAILED&take=3&sort=createdAt:ASC',
  })
  await send('list a state that none has', { path: '/jobs?state=CANCELLED' })
  await send('next, with nothing to do', { path: '/next', body: {} })
  return ids
}

function badAsks([id = '']: readonly string[]): Record<string, Ask> {
  const add = (body: unknown): Ask => ({ path: `${QUEUE}/jobs`, body })
  const data = { path: 'x.md', text: 'x' }
  return {
    'malformed JSON': { method: 'POST', path: `${QUEUE}/jobs`, text: '{"data":' },
    'no data': add({}),
    'an unknown field': add({ data, colour: 'red' }),
    'an unknown option': add({ data, options: { retires: 1 } }),
    'negative retries': add({ data, options: { retries: -1 } }),
    'a priority too high': add({ data, options: { priority: 2_048 } }),
    'a delay and a time': add({ data, options: { delay: 1, runAt: '2026-01-01T00:00:00Z' } }),
    'an id that is a path': add({ data, options: { id: '../../etc/passwd' } }),
    'an id that is taken': add({ data, options: { id: 'own-id' } }),
    'a typed array of five billion': add({
      data: 5e9,
      meta: { data: { values: [['typed-array', 'Uint8Array']] } },
    }),
    'a prototype in the meta': add({
      data: {},
      meta: { data: { values: { '__proto__.x': ['Date'] } } },
    }),
    'a batch with one bad': add([{ data }, { data, options: { retries: 'many' } }]),
    'an empty batch': add([]),
    'a batch too long': add(Array.from({ length: 1_001 }, () => ({ data: 1 }))),
    'a body over the limit': add({ data: { path: 'big.md', text: 'x'.repeat(2 ** 20) } }),
    'an unknown queue': { path: '/queues/none' },
    'a job for an unknown queue': { path: '/queues/none/jobs', body: { data } },
    'a queue name that is a path': { path: '/queues/..%2f..%2fetc' },
    'a queue name with a line break': { path: '/queues/a%0ab' },
    'a queue name of the prototype': { path: '/queues/__proto__' },
    'an unknown job': { path: '/jobs/none' },
    'a job id that is a path': { path: '/jobs/..%2f..%2fetc' },
    'take 0': { path: '/jobs?take=0' },
    'take 1001': { path: '/jobs?take=1001' },
    'take that is no number': { path: '/jobs?take=ten' },
    'a negative skip': { path: '/jobs?skip=-1' },
    'an unknown state': { path: '/jobs?state=DONE' },
    'an unknown sort': { path: '/jobs?sort=colour:ASC' },
    'an unknown parameter': { path: '/jobs?queue=index-document' },
    'a removal with a slip': { method: 'DELETE', path: '/jobs?olderthan=2026-01-01' },
    'a removal with a bad date': { method: 'DELETE', path: '/jobs?olderThan=yesterday' },
    'cancel a settled job': { method: 'POST', path: `/jobs/${id}/cancel` },
    'cancel an unknown job': { method: 'POST', path: '/jobs/none/cancel' },
    'retry an unknown job': { method: 'POST', path: '/jobs/none/retry' },
    'remove an unknown job': { method: 'DELETE', path: '/jobs/none' },
    'a budget of nothing': { path: '/next', body: { budgetMs: 0 } },
    'a budget of a day': { path: '/next', body: { budgetMs: 86_400_000 } },
    'a body that is text': {
      method: 'POST',
      path: `${QUEUE}/jobs`,
      text: '{}',
      headers: { 'content-type': 'text/plain' },
    },
    'no such route': { path: '/nowhere' },
    'no such method': { method: 'PUT', path: QUEUE },
  }
}

async function sweep(send: Send, ids: readonly string[]): Promise<void> {
  await send('remove one', { method: 'DELETE', path: `/jobs/${ids[0]}` })
  await send('remove it again', { method: 'DELETE', path: `/jobs/${ids[0]}` })
  await send('remove all that are settled', { method: 'DELETE', path: '/jobs' })
  await send('list what is left', { path: '/jobs' })
}

async function totals(url: string): Promise<unknown> {
  const { body } = await request(url, { path: '/queues' })
  return (body as { items: { counts: unknown }[] }).items.map(({ counts }) => counts)
}

async function untilSettled(url: string, id: string): Promise<void> {
  const deadline = Date.now() + WAIT_MS_MAX
  for (;;) {
    const { body } = await request(url, { path: `/jobs/${id}` })
    if ((body as { job?: { isSettled: boolean } }).job?.isSettled) return
    if (Date.now() > deadline) throw new Error(`Job ${id} is not settled: ${JSON.stringify(body)}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

export async function request(
  url: string,
  { method, path, body, text, headers }: Ask,
): Promise<{ status: number; body: unknown }> {
  const content = text ?? (body === undefined ? undefined : JSON.stringify(body))
  const response = await fetch(url + path, {
    method: method ?? (content === undefined ? 'GET' : 'POST'),
    headers: { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json', ...headers },
    ...(content !== undefined && { body: content }),
  })
  const answer = await response.text()
  return { status: response.status, body: answer === '' ? null : JSON.parse(answer) }
}

const FACTS = new Set([
  'nextDueAt',
  'runtime',
  'storage',
  'guarantee',
  'version',
  'running',
  'duration',
  'operations',
])
const TIME = /^\d{4}-\d\d-\d\dT[\d:.]+Z$/

/** Without what may differ: ids, times, and facts of the runtime or the store. */
function neutral(value: unknown, key = ''): unknown {
  if (FACTS.has(key)) return '<fact>'
  if (Array.isArray(value)) return value.map((item) => neutral(item))
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(
      Object.entries(value).map(([name, item]) => [name, neutral(item, name)]),
    )
  }
  if (typeof value !== 'string') return value
  if (TIME.test(value)) return '<time>'
  return value.replaceAll(/\b1[0-9a-z]{19}\b/g, '<id>')
}
