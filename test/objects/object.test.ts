import {
  abortAllDurableObjects,
  evictDurableObject,
  runDurableObjectAlarm,
  runInDurableObject,
} from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { describe, expect, test, vi } from 'vitest'
import { openStore } from '../../adapters/runtime/cloudflare.ts'
import { d1 } from '../../adapters/runtime/worker-stores.ts'
import type { PartsBinding } from '../../adapters/store/durable-object/kv-parts.ts'
import {
  createDurableObjectStore,
  type ObjectNamespace,
  QueueObject,
} from '../../adapters/store/durable-object.ts'
import { type Job, JobQueueService, type Store, silentLogger } from '../../src/main.ts'
import worker, { type DrainingQueue, type ServedQueue } from './worker.ts'

interface Answered {
  readonly job?: { readonly id: string; readonly state: string }
}

const { QUEUE, DRAINING, PARTS, SERVED } = env as unknown as {
  readonly QUEUE: ObjectNamespace & DurableObjectNamespace
  readonly DRAINING: DurableObjectNamespace<DrainingQueue>
  readonly PARTS: PartsBinding & KVNamespace
  readonly SERVED: DurableObjectNamespace<InstanceType<typeof ServedQueue>>
}

describe('rows written, which is what is billed', () => {
  test('a plain job costs five in its whole life, and keeps its result', async () => {
    const storage = createDurableObjectStore(QUEUE, { base: 'rows' })
    const jobs = new JobQueueService({ storage, concurrency: 10 })
    const queue = await jobs.createQueue({ name: 'q', process: (job: Job<number>) => job.data * 2 })
    // The queue itself, and the format of the store, are written once.
    await queue.add(0)
    await jobs.drain()
    const rows = async (): Promise<number> => {
      const stub = QUEUE.getByName('rows') as unknown as DurableObjectStub
      return runInDurableObject(stub, (object) => rowsOf(object))
    }
    const before = await rows()
    const added = await queue.addMany(Array.from({ length: 20 }, (_, i) => ({ data: i })))
    expect(await jobs.drain()).toMatchObject({ completed: 20 })
    expect(await rows()).toBe(before + 20 * 5)
    expect((await jobs.findOne(String(added[7]?.id)))?.result).toBe(14)
  })

  test('a renewal costs one', async () => {
    const store = createDurableObjectStore(QUEUE, { base: 'renewal' })
    const put = { key: 'j/a', place: 'l/lease/q', score: 1, stamp: 'me', head: '{}' }
    const [version = null] = await store.commit([[{ ...put, expect: null, parts: { data: '1' } }]])
    const { writes } = store.operations()
    await store.commit([[{ key: 'j/a', expect: version, score: 2, stamp: 'me again' }]])
    expect(store.operations().writes - writes).toBe(1)
  })
})

describe('the alarm', () => {
  const open = (name: string): JobQueueService =>
    new JobQueueService({
      storage: createDurableObjectStore(DRAINING as unknown as ObjectNamespace, { base: name }),
    })

  test('drains what was added, and what was put off when it is due and not before', async () => {
    const jobs = open('alarm')
    const queue = await jobs.createQueue<number, number>({ name: 'double' })
    const now = await queue.add(21)
    expect(await now.wait({ timeoutMs: 5_000 })).toBe(42)
    const later = await queue.add(4, { delay: 3_600_000 })
    const stub = DRAINING.getByName('alarm')
    await vi.waitFor(async () => {
      const at = await runInDurableObject(stub, (_object, state) => state.storage.getAlarm())
      expect(at).toBe(later.runAt?.getTime())
    })
    // Rung early, it finds nothing due and is set for the same time again.
    expect(await runDurableObjectAlarm(stub)).toBe(true)
    expect((await jobs.findOne(String(later.id)))?.state).toBe('PENDING')
    const again = await runInDurableObject(stub, (_object, state) => state.storage.getAlarm())
    expect(again).toBe(later.runAt?.getTime())
  })

  test('that fails seven times is set still, and drains the eighth time', async () => {
    const jobs = open('failing')
    const queue = await jobs.createQueue<number, number>({ name: 'double' })
    const stub = DRAINING.getByName('failing')
    await runInDurableObject(stub, (object) => {
      object.failures = 7
    })
    const job = await queue.add(3)
    for (let i = 0; i < 7; i++) {
      const drains = await runInDurableObject(stub, ({ drains: n }) => n)
      if (drains <= i) expect(await runDurableObjectAlarm(stub)).toBe(true)
      const at = await runInDurableObject(stub, (_object, state) => state.storage.getAlarm())
      expect(at).not.toBeNull()
    }
    await runDurableObjectAlarm(stub)
    expect(await job.wait({ timeoutMs: 10_000 })).toBe(6)
  })
})

describe('the object that serve() makes', () => {
  const settings = { WHERRY_STORAGE: 'durable-object:SERVED', WHERRY_TOKEN: 'a-token' }
  const ask = async (path: string, vars: object, body?: unknown): Promise<Answered> => {
    const headers = { authorization: 'Bearer a-token', 'content-type': 'application/json' }
    const post = body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }
    const request = new Request(`http://worker${path}`, { headers, ...post })
    return (await worker.fetch(request, { ...env, ...settings, ...vars } as never)).json()
  }
  const add = async (base: string, options: object = {}): Promise<string> => {
    const body = { data: 4, options }
    return (await ask('/queues/double/jobs', at(base), body)).job?.id as string
  }
  const at = (base: string): object => ({ WHERRY_STORAGE: `durable-object:SERVED?base=${base}` })
  const alarmOf = (base: string): Promise<number | null> =>
    runInDurableObject(SERVED.getByName(base), (_object, state) => state.storage.getAlarm())

  test('runs what the Worker adds by its alarm, and what a tick wakes it for', async () => {
    const id = await add('wherry')
    await vi.waitFor(async () => {
      expect((await ask(`/jobs/${id}`, {})).job).toMatchObject({ state: 'COMPLETED', result: 8 })
    })
    const later = await add('wherry', { delay: 3_600_000 })
    expect(await alarmOf('wherry')).toBeGreaterThan(Date.now() + 3_500_000)
    expect(await ask('/next', {}, {})).toMatchObject({ processed: 0, stoppedBecause: 'empty' })
    expect((await ask(`/jobs/${later}`, {})).job?.state).toBe('PENDING')
  })

  test('is what a tick has drain: the Worker claims nothing', async () => {
    const alarm = vi.spyOn(QueueObject.prototype, 'alarm').mockResolvedValue()
    const { job } = await ask('/queues/where/jobs', {}, { data: null })
    await vi.waitFor(() => expect(alarm).toHaveBeenCalled())
    alarm.mockRestore()
    await worker.scheduled(null, { ...env, ...settings } as never)
    const ran = await ask(`/jobs/${job?.id}`, {})
    expect(ran.job).toMatchObject({ state: 'COMPLETED', result: 'in the object' })
  })

  test('whose alarm was lost has another as soon as someone asks it for anything', async () => {
    await add('wherry', { delay: 7_200_000 })
    const stub = SERVED.getByName('wherry')
    await runInDurableObject(stub, (_object, state) => state.storage.deleteAlarm())
    await evictDurableObject(stub as unknown as DurableObjectStub)
    await ask('/queues', {})
    expect(await alarmOf('wherry')).toBeGreaterThan(Date.now())
  })
})

test('evicted and aborted in mid-run: none lost, none settled twice', async () => {
  const jobs = 300
  const settlements = new Map<string, number>()
  const runs = new Map<string, Set<number>>()
  const store = createDurableObjectStore(QUEUE, { base: 'faults' })
  const service = new JobQueueService({
    storage: counting(store, settlements),
    concurrency: 20,
    leaseMs: 2_000,
    pollInterval: 20,
    maxLapses: 1_000,
    logger: silentLogger,
  })
  const queue = await service.createQueue({
    name: 'count',
    process: async ({ id, data }: Job<number>, { fence }) => {
      const fences = runs.get(String(id)) ?? new Set()
      expect(fences.has(fence)).toBe(false)
      runs.set(String(id), fences.add(fence))
      await new Promise((resolve) => setTimeout(resolve, data))
      return fence
    },
  })
  const added = await queue.addMany(Array.from({ length: jobs }, (_, i) => ({ data: i % 15 })))
  await service.start()
  for (let i = 1; i <= 6; i++) {
    await vi.waitUntil(() => settlements.size >= (i * jobs) / 8, { timeout: 20_000, interval: 5 })
    if (i % 2 === 0) await abortAllDurableObjects()
    else await evictDurableObject(QUEUE.getByName('faults') as unknown as DurableObjectStub)
  }
  const all = async (): Promise<Job[]> =>
    service.findManyById(added.map(({ id }) => String(id))).catch(() => [])
  await vi.waitUntil(async () => (await all()).filter((job) => job.isSettled).length === jobs, {
    timeout: 20_000,
    interval: 100,
  })
  await service.close()
  for (const { id, state, result } of await all()) {
    expect(state).toBe('COMPLETED')
    expect(runs.get(String(id))?.has(result as number)).toBe(true)
  }
  expect([...settlements.values()].filter((count) => count > 1)).toEqual([])
})

test('a URL opens each of them, and a binding that is not there is named', async () => {
  const open = (url: string): Promise<Store> => openStore(url, env, d1)
  expect((await open('durable-object:QUEUE?base=url')).guarantee).toBe('atomic')
  expect((await open('cloudflare-kv:PARTS+durable-object:QUEUE')).name).toBe('durable-object+kv')
  expect((await open('cloudflare-kv:PARTS')).guarantee).toBe('eventual')
  expect((await open('d1:DB')).name).toBe('d1')
  await expect(openStore('d1:DB', env)).rejects.toThrow('begins with "d1:", expected one of')
  await expect(open('durable-object:NONE')).rejects.toThrow('no Durable Object is bound as "NONE"')
})

test('a long part lies in KV, and is deleted with its job', async () => {
  const storage = createDurableObjectStore(QUEUE, { base: 'long', parts: PARTS })
  const jobs = new JobQueueService({ storage })
  const queue = await jobs.createQueue({
    name: 'reverse',
    process: (job: Job<string>) => job.data.replaceAll('a', 'b'),
  })
  const job = await queue.add('a'.repeat(200_000))
  const names = async (): Promise<number> =>
    (await PARTS.list({ prefix: 'long/part/' })).keys.length
  expect(await names()).toBe(1)
  await jobs.drain()
  expect(await names()).toBe(2)
  expect(await job.wait()).toBe('b'.repeat(200_000))
  await jobs.removeJob(String(job.id))
  expect(await names()).toBe(0)
})

function rowsOf(object: unknown): number {
  const { rowsWritten } = object as { readonly rowsWritten: number }
  return rowsWritten
}

/** The store, watched: which records it says were settled. */
function counting(store: Store, settlements: Map<string, number>): Store {
  const commit = store.commit.bind(store)
  return Object.assign(store, {
    commit: async (...[units, hint]: Parameters<Store['commit']>) => {
      const versions = await commit(units, hint)
      units.forEach((unit, i) => {
        for (const { key, place } of versions[i] === null ? [] : unit) {
          if (place?.startsWith('s/')) settlements.set(key, (settlements.get(key) ?? 0) + 1)
        }
      })
      return versions
    },
  })
}
