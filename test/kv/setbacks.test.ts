/** What goes wrong outside of a job must neither lose it, nor hide, nor outlive the service. */
import { inspect } from 'node:util'
import { describe, expect, test } from 'vitest'
import { createApp } from '../../src/http/main.ts'
import {
  createMemoryStore,
  type Job,
  JobQueueService,
  type JobQueueServiceOptions,
  type Store,
  silentLogger,
} from '../../src/main.ts'
import { FakeClock } from '../../src/testing/main.ts'

interface World {
  readonly clock: FakeClock
  readonly store: Store
  readonly jobs: JobQueueService
  readonly logged: string[]
}

function world(options: JobQueueServiceOptions = {}): World {
  const clock = new FakeClock()
  const store = createMemoryStore({ clock })
  const logged: string[] = []
  const logger = { ...silentLogger, error: (message: string) => void logged.push(message) }
  return {
    clock,
    store,
    logged,
    jobs: new JobQueueService({ storage: store, clock, logger, ...options }),
  }
}

describe('stopping', () => {
  test('while it starts: no queue is worked on afterwards', async () => {
    const { clock, jobs } = world()
    const ran: string[] = []
    const queues = await Promise.all(
      ['a', 'b'].map((name) =>
        jobs.createQueue({ name, process: async () => void ran.push(name) }),
      ),
    )
    const starting = jobs.start()
    await jobs.stop()
    await starting
    for (const queue of queues) await queue.add(1)
    await clock.advance(10_000)
    expect(ran).toEqual([])
    expect(jobs.getJobQueues().map(({ running }) => running)).toEqual([false, false])
  })

  test('a claim whose answer comes after it is given back, not begun', async () => {
    const { clock, store, jobs } = world({ gracefulShutdownTimeout: 1_000 })
    let began = 0
    const queue = await jobs.createQueue({ name: 'a', process: async () => void began++ })
    const job = await queue.add(1)
    const commit = store.commit.bind(store)
    store.commit = async (...request) => {
      const versions = await commit(...request)
      await new Promise<void>((done) => clock.setTimeout(done, 10_000))
      return versions
    }
    void jobs.start()
    await clock.advance(100)
    const stopped = jobs.stop()
    await clock.advance(8_000)
    await stopped
    store.commit = commit
    await clock.advance(20_000)
    expect(began).toBe(0)
    expect((await jobs.findOne(String(job.id)))?.state).toBe('PENDING')
  })

  test('is not over before such a claim has been given back', async () => {
    const { clock, store, jobs } = world()
    const queue = await jobs.createQueue({ name: 'a', process: async () => {} })
    const job = await queue.add(1)
    const commit = store.commit.bind(store)
    store.commit = async (...request) => {
      await new Promise<void>((done) => clock.setTimeout(done, 200))
      return commit(...request)
    }
    void jobs.start()
    await clock.advance(100)
    await settled(clock, jobs.stop())
    expect(await jobs.findOne(String(job.id))).toMatchObject({ state: 'PENDING', attempts: 0 })
  })

  test('close() gives back what a drain runs, and waits for that', async () => {
    const { clock, jobs } = world()
    const queue = await jobs.createQueue({
      name: 'a',
      process: (_job, { signal }) =>
        new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
    })
    await queue.add(1)
    const draining = jobs.drain()
    await clock.advance(10)
    await jobs.close()
    expect(await draining).toMatchObject({ deferred: 1, stoppedBecause: 'aborted' })
    await expect(jobs.drain()).rejects.toThrow('closed')
  })

  test('close() waits until a claim that was on its way has been given back', async () => {
    const { clock, store, jobs } = world()
    const late = async <T>(act: () => Promise<T>): Promise<T> => {
      await new Promise<void>((done) => clock.setTimeout(done, 10))
      if (closed) throw new Error('closed')
      return act()
    }
    let closed = false
    const [commit, close] = [store.commit.bind(store), store.close.bind(store)]
    store.close = async () => {
      closed = true
      return close()
    }
    const queue = await jobs.createQueue({ name: 'a', process: async () => {} })
    const { id } = await queue.add(1)
    store.commit = (...request) => late(() => commit(...request))
    void jobs.start()
    await clock.advance(5)
    await clock.until(jobs.close())
    const others = new JobQueueService({ storage: store, clock })
    expect(await others.findOne(String(id))).toMatchObject({ state: 'PENDING', attempts: 0 })
  })

  test('close() lets no drain begin that was about to', async () => {
    const { jobs } = world()
    let ran = 0
    const queue = await jobs.createQueue({ name: 'a', process: async () => void ran++ })
    await queue.add(1)
    const draining = expect(jobs.drain()).rejects.toThrow('closed')
    await jobs.close()
    await draining
    expect(ran).toBe(0)
  })

  test('after close() nothing is added, and nobody waits on', async () => {
    const { clock, jobs } = world()
    const queue = await jobs.createQueue({ name: 'a' })
    const waiting = expect((await queue.add(1)).wait()).rejects.toThrow('closed')
    await clock.advance(1_000)
    await jobs.close()
    await clock.advance(200)
    await waiting
    expect(clock.nextDueAt).toBeNull()
    await expect(queue.add(2)).rejects.toMatchObject({ code: 'store-unavailable' })
    await jobs.close()
  })

  test('close() closes a store that nobody has used', async () => {
    const store = createMemoryStore()
    let closed = 0
    store.close = async () => void closed++
    await new JobQueueService({ storage: Promise.resolve(store) }).close()
    expect(closed).toBe(1)
  })
})

describe('a store that refuses writes', () => {
  test('is heard of: drain() rejects and a worker logs it, and tries again without spinning', async () => {
    const { clock, store, jobs, logged } = world()
    let ran = 0
    const queue = await jobs.createQueue({ name: 'a', process: async () => void ran++ })
    await queue.add(1)
    const commit = store.commit.bind(store)
    store.commit = async () => {
      throw new Error('the disk is full')
    }
    await expect(settled(clock, jobs.drain())).rejects.toThrow('the disk is full')
    const { reads } = store.operations()
    await jobs.start()
    await clock.advance(60_000)
    expect(logged[0]).toContain('Cannot look for jobs')
    expect(store.operations().reads - reads).toBeLessThan(2_000)
    store.commit = commit
    await clock.advance(10_000)
    expect(ran).toBe(1)
    await jobs.stop()
  })

  test('a drain whose store is gone waits for the handlers that it began', async () => {
    const { clock, store, jobs } = world()
    let ended = false
    let down = false
    const read = store.read.bind(store)
    store.read = async (query) => {
      if (down) throw new Error('down')
      return read(query)
    }
    const queue = await jobs.createQueue({
      name: 'a',
      concurrency: 2,
      process: async () => {
        down = true
        await new Promise<void>((done) => clock.setTimeout(done, 5_000))
        ended = true
      },
    })
    await queue.add(1)
    await expect(settled(clock, jobs.drain())).rejects.toThrow('down')
    expect(ended).toBe(true)
  })
})

describe('an error that no store takes', () => {
  test.each([
    ['a NUL in a long text', () => new Error(`${'x'.repeat(500)}\0`), 'xxxxxxxx'],
    [
      'an object without a text',
      () => Object.create(null),
      'Something was thrown that has no text',
    ],
    ['a text over the limit', () => new Error('y'.repeat(70 * 2 ** 20)), 'yyyyyyyy'],
  ])('%s: the job has failed once, and says why', async (_name, thrown, start) => {
    const { clock, jobs } = world()
    let runs = 0
    const queue = await jobs.createQueue({
      name: 'a',
      process: async () => {
        runs++
        throw thrown()
      },
    })
    const job = await queue.add(1)
    await settled(clock, jobs.drain())
    const found = await jobs.findOne(String(job.id))
    expect([runs, found?.state]).toEqual([1, 'FAILED'])
    expect(found?.error?.startsWith(start)).toBe(true)
  })
})

test('a record that cannot be read makes nobody spin, and hides nothing', async () => {
  const { clock, store, jobs } = world()
  const ran: unknown[] = []
  const queue = await jobs.createQueue({
    name: 'a',
    process: async ({ data }: Job) => void ran.push(data),
  })
  for (let i = 0; i < 120; i++) await queue.add(i, { id: `x${i}`, delay: 50 })
  const later = await queue.add('later', { delay: 60 })
  const keys = Array.from({ length: 120 }, (_, i) => `u/x${i}`)
  const { got } = await store.read({ get: keys })
  const spoilt = got.map((record, i) => {
    return [{ key: keys[i] as string, expect: record?.version as string, head: '{"v":2}' }]
  })
  await store.commit(spoilt)
  await clock.advance(100)
  await jobs.start()
  await clock.advance(2_000)
  expect(ran).toEqual(['later'])
  expect((await jobs.findOne(String(later.id)))?.state).toBe('COMPLETED')
  const { reads, lists } = store.operations()
  await clock.advance(60_000)
  const after = store.operations()
  expect(after.reads + after.lists - reads - lists).toBeLessThan(2_000)
  await jobs.stop()
})

test('a part that the store cannot show yet puts its job off, and holds up no other', async () => {
  const { clock, store, jobs } = world()
  const read = store.read.bind(store)
  const hidden = new Set<string>()
  store.read = async (query) => {
    if (query.parts?.includes('data') && query.get?.some((key) => hidden.has(key)))
      throw new Error('KV does not show a part of it yet')
    return read(query)
  }
  const ran: number[] = []
  const queue = await jobs.createQueue({
    name: 'a',
    concurrency: 3,
    process: async (job: Job<number>) => void ran.push(job.data),
  })
  const [first] = await queue.addMany([{ data: 1 }, { data: 2 }, { data: 3 }])
  hidden.add(`j/${first?.id}`)
  const draining = jobs.drain()
  await clock.advance(20_000)
  expect(await draining).toMatchObject({ processed: 2, completed: 2, failed: 0 })
  expect(ran.sort()).toEqual([2, 3])
  const { ranges } = await read({ ranges: [{ place: 'd/delayed/a', limit: 2 }] })
  expect(ranges[0]?.map(({ key }) => key)).toEqual([`j/${first?.id}`])
  hidden.clear()
  await clock.advance(5_000)
  expect(await jobs.drain()).toMatchObject({ completed: 1 })
  expect(await jobs.findOne(String(first?.id))).toMatchObject({ state: 'COMPLETED', attempts: 1 })
})

test('progress that a handler reports after its end is not stored, and sets no timer', async () => {
  const { clock, store, jobs } = world()
  const given: Job[] = []
  const queue = await jobs.createQueue({ name: 'a', process: (job) => void given.push(job) })
  const { id } = await queue.add(1)
  await jobs.drain()
  const { writes } = store.operations()
  given[0]?.setProgress(50)
  await clock.advance(10)
  expect(clock.nextDueAt).toBeNull()
  expect(store.operations().writes).toBe(writes)
  expect(await jobs.findOne(String(id))).toMatchObject({ state: 'COMPLETED', progress: 100 })
})

test('a cancellation that comes after the end of a handler sets no timer, and aborts nothing', async () => {
  const { clock, store, jobs } = world()
  const signals: AbortSignal[] = []
  const queue = await jobs.createQueue({
    name: 'a',
    process: (_job, { signal }) => {
      signals.push(signal)
      return new Promise<void>((done) => clock.setTimeout(done, 1_000))
    },
  })
  const id = String((await queue.add(1)).id)
  const draining = jobs.drain()
  await clock.advance(500)
  await new JobQueueService({ storage: store, clock }).cancelJob(id)
  expect(await settled(clock, draining)).toMatchObject({ cancelled: 1 })
  expect(clock.nextDueAt).toBeNull()
  expect(signals[0]?.aborted).toBe(false)
})

test('a drain that finds every slot taken says so', async () => {
  const { clock, jobs } = world()
  let go = (): void => {}
  const queue = await jobs.createQueue({
    name: 'a',
    process: () =>
      new Promise<void>((done) => {
        go = done
      }),
  })
  await queue.addMany([{ data: 1 }, { data: 2 }])
  const first = jobs.drain({ maxJobs: 1 })
  await clock.advance(10)
  const report = await jobs.drain()
  expect(report).toMatchObject({ processed: 0, stoppedBecause: 'busy' })
  expect(report.nextDueAt).not.toBeNull()
  go()
  await first
})

describe('times', () => {
  test.each([8.7e15, Number.MAX_SAFE_INTEGER])('a back-off of %d ms is ten years', async (ms) => {
    const { clock, jobs } = world({ backoffStrategy: () => ms })
    const queue = await jobs.createQueue({
      name: 'a',
      process: async () => {
        throw new Error('once')
      },
    })
    const job = await queue.add(1, { retries: 1 })
    await settled(clock, jobs.drain())
    const found = await jobs.findOne(String(job.id))
    expect(found?.state).toBe('RETRYING')
    expect(JSON.stringify(await jobs.findMany())).toContain('RETRYING')
  })

  test.each([-62_135_596_800_000, -8_640_000_000_000_000, 0])(
    'a runAt of %d is now, and passes by no higher priority',
    async (at) => {
      const { clock, jobs } = world()
      const ran: unknown[] = []
      const queue = await jobs.createQueue({
        name: 'a',
        process: async ({ data }: Job) => void ran.push(data),
      })
      await queue.add('past', { runAt: new Date(at) })
      await queue.add('urgent', { priority: 3 })
      await settled(clock, jobs.drain())
      expect(ran).toEqual(['urgent', 'past'])
    },
  )

  test('an endless budget is no storm of timers', async () => {
    const { clock, store, jobs } = world()
    const queue = await jobs.createQueue({
      name: 'a',
      process: () => new Promise<void>((done) => clock.setTimeout(done, 1_500)),
    })
    await queue.add(1)
    await settled(clock, jobs.drain({ budgetMs: Infinity }))
    expect(store.operations().reads).toBeLessThan(50)
  })
})

describe('an id of one’s own that looks generated', () => {
  const id = '0123456789abcdef0123'

  test('is refused with all that came with it when it is taken', async () => {
    const { jobs } = world()
    const queue = await jobs.createQueue({ name: 'a' })
    const additions = [{ data: 1 }, { data: 2, options: { id } }, { data: 3, options: { id } }]
    await expect(queue.addMany(additions)).rejects.toMatchObject({ code: 'id-taken' })
    expect((await jobs.counts()).get('a')?.PENDING).toBe(0)
  })

  test('stands where it was made in a long list', async () => {
    const { clock, jobs } = world()
    const queue = await jobs.createQueue<number, void>({ name: 'a' })
    const hex = (first: string, i: number): string => first + String(i).padStart(19, '0')
    for (const first of ['f', '1']) {
      await queue.addMany(
        Array.from({ length: 1_100 }, (_, i) => ({ data: i, options: { id: hex(first, i) } })),
      )
      await clock.advance(1_000)
    }
    const { items, totalItems } = await jobs.findMany({ take: 3, sort: { createdAt: 'DESC' } })
    expect(totalItems).toBe(2_200)
    expect(items.map((job) => String(job.id)[0])).toEqual(['1', '1', '1'])
  })
})

describe('ids of a generator of one’s own', () => {
  test('are drawn again when they are taken, and given up when they always are', async () => {
    const ids = ['a', 'a', 'a', 'b']
    const { jobs } = world({ newId: () => ids.shift() ?? 'b' })
    const queue = await jobs.createQueue({ name: 'a' })
    expect([(await queue.add(1)).id, (await queue.add(2)).id]).toEqual(['a', 'b'])
    await expect(queue.add(3)).rejects.toMatchObject({ code: 'id-taken' })
    expect((await jobs.findMany()).totalItems).toBe(2)
  })

  test('are found in a long list, whatever their order', async () => {
    let left = 5_000
    const { jobs } = world({ newId: () => String(left--) })
    const queue = await jobs.createQueue<number>({ name: 'a' })
    await queue.addMany(Array.from({ length: 2_100 }, (_, data) => ({ data })))
    const page = {
      take: 2,
      filter: { queueName: { eq: 'a' } },
      sort: { createdAt: 'ASC' },
    } as const
    const { items, totalItems } = await jobs.findMany(page)
    expect([items.length, totalItems]).toEqual([2, 2_100])
  })
})

test('a prefix keeps the settled jobs of another system', async () => {
  const { clock, store } = world()
  const [a, b] = ['a-', 'b-'].map((prefix) => {
    return new JobQueueService({ storage: store, clock, prefix })
  }) as [JobQueueService, JobQueueService]
  for (const service of [a, b]) {
    const queue = await service.createQueue({ name: 'q', process: async () => {} })
    await queue.add(1)
    await settled(clock, service.drain())
  }
  const headers = { host: 'localhost' }
  const url = 'http://localhost/jobs'
  const answer = await createApp(a).request(url, { method: 'DELETE', headers })
  expect(await answer.json()).toEqual({ removed: 1 })
  expect((await b.findMany()).totalItems).toBe(1)
})

test('what is refused takes nothing with it, and is no secret in the log', async () => {
  const { store, jobs } = world()
  const queue = await jobs.createQueue({ name: 'a' })
  await queue.add('first')
  const { commit } = store
  let units = 0
  store.commit = (...request) => {
    units += request[0].length
    return commit.apply(store, request)
  }
  const results = await Promise.allSettled([
    queue.add('good'),
    queue.add('x'.repeat(65 * 2 ** 20)),
    queue.add('good too'),
  ])
  expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
  expect(units).toBe(2)
  expect(inspect(results[1], { depth: 5 }).length).toBeLessThan(5_000)
})

/** The promise, with time passing until it is settled. */
async function settled<T>(clock: FakeClock, promise: Promise<T>): Promise<T> {
  let done = false
  const watched = promise.finally(() => {
    done = true
  })
  watched.catch(() => {})
  while (!done) await clock.advance(100)
  return watched
}
