import { describe, expect, test } from 'vitest'
import { AT_HAND } from '../../src/at-hand.ts'
import {
  createMemoryStore,
  InMemoryJobBufferStorageStrategy,
  Job,
  type JobBuffer,
  JobBuffers,
  type JobQueue,
  type JobQueueService,
  type JobQueueServiceOptions,
  type Store,
} from '../../src/main.ts'
import { Shaky, SIZES } from '../support/shaky-store.ts'
import { Workbench } from '../support/workbench.ts'

/** Keeps all jobs, and lets them out as they are. */
function buffer(changes: Partial<JobBuffer> = {}): JobBuffer {
  return { id: 'all', collect: () => true, reduce: (jobs) => jobs, ...changes }
}

/** Folds the numbers of all jobs into one list, as Vendure's users do it. */
const folding: Partial<JobBuffer> = {
  reduce: (jobs) => {
    const [first] = jobs
    if (first === undefined) return []
    return [new Job({ ...first, id: undefined, data: jobs.map(({ data }) => data) })]
  },
}

interface Bench {
  readonly bench: Workbench
  readonly service: JobQueueService
  readonly queue: JobQueue
}

async function open(
  buffers: readonly JobBuffer[],
  options: JobQueueServiceOptions = {},
  bench: Workbench = new Workbench(),
): Promise<Bench> {
  const service = bench.service(options)
  const queue = await service.createQueue({ name: 'work', process: bench.manual })
  new JobBuffers(service, { clock: bench.clock })
  for (const one of buffers) service.addBuffer(one)
  return { bench, service, queue }
}

const data = (jobs: readonly Job[]): unknown[] => jobs.map((job) => job.data)

describe('§2.4 a buffer', () => {
  test('keeps what it collects out of the queue until it is flushed', async () => {
    const { service, queue } = await open([buffer({ collect: ({ data }) => data !== 'now' })])
    await queue.add('later')
    await queue.add('now')
    await queue.addMany([{ data: 'later too' }])
    expect(data((await service.findMany()).items)).toEqual(['now'])
    expect(await service.bufferSize()).toEqual({ all: 2 })
    expect(data(await service.flush())).toEqual(['later', 'later too'])
    expect((await service.findMany()).totalItems).toBe(3)
    expect(await service.bufferSize('all')).toEqual({ all: 0 })
    expect(await service.flush()).toEqual([])
  })

  test('§2.1 the handle says so: its id is "buffered", and there is nothing to follow', async () => {
    const { queue, service } = await open([buffer()])
    const job = await queue.add(1)
    expect([job.id, job.state, job.isBuffered]).toEqual(['buffered', 'PENDING', true])
    await expect(job.wait()).rejects.toMatchObject({ code: 'job-not-found' })
    expect(() => job.updates()).toThrow('buffer')
    service.removeBuffer(buffer())
    expect((await queue.add(2)).isBuffered).toBe(false)
  })

  test('the collected jobs go through reduce: queue, retries and creation stay', async () => {
    const { bench, service, queue } = await open([buffer(folding)])
    await queue.add(1, { retries: 3 })
    await bench.clock.advance(1_000)
    await queue.add(2)
    const [job] = await service.flush('all')
    expect(job).toMatchObject({ queueName: 'work', data: [1, 2], retries: 3, state: 'PENDING' })
    expect(job?.createdAt.getTime()).toBe(bench.clock.now() - 1_000)
    await service.start()
    await bench.settle()
    expect(bench.calls.map((call) => call.job.data)).toEqual([[1, 2]])
  })

  test('what JSON cannot hold, priority, a timeout and a delay survive it', async () => {
    const { bench, service, queue } = await open([buffer()])
    const map = new Map([[1, new Date(0)]])
    await queue.add(map, { priority: 7, timeout: 1_000, delay: 5_000 })
    const [job] = await service.flush()
    expect([job?.data, job?.priority]).toEqual([map, 7])
    expect(job?.runAt?.getTime()).toBe(bench.clock.now() + 5_000)
    await service.start()
    await bench.clock.advance(5_000)
    await bench.clock.advance(1_000)
    expect(bench.call(0).context.signal.reason.name).toBe('TimeoutError')
  })

  test('if reduce throws, or gives jobs that cannot be, the collected ones are enqueued', async () => {
    for (const reduce of [
      () => {
        throw new Error('no')
      },
      () => [new Job({ queueName: '', data: null })],
      () => [new Job({ queueName: 'work', data: null, priority: 5_000 })],
      () => 'nothing' as never,
    ]) {
      const { service, queue } = await open([buffer({ reduce })])
      await queue.addMany([{ data: 1 }, { data: 2 }])
      expect(data(await service.flush())).toEqual([1, 2])
    }
  })

  test('reduce may let nothing out, and two jobs made of one get ids of their own', async () => {
    const { service, queue } = await open([
      buffer({ id: 'none', collect: (job) => job.data === 1, reduce: () => [] }),
      buffer({
        id: 'two',
        collect: (job) => job.data === 2,
        reduce: ([first]) => (first ? [first, new Job({ ...first, data: 3 })] : []),
      }),
    ])
    await queue.addMany([{ data: 1 }, { data: 2 }])
    expect(data(await service.flush())).toEqual([2, 3])
    expect(await service.bufferSize()).toEqual({ none: 0, two: 0 })
  })

  test('several that collect a job hold a copy each', async () => {
    const { service, queue } = await open([buffer({ id: 'a' }), buffer({ id: 'b' })])
    await queue.add(1)
    expect(await service.bufferSize()).toEqual({ a: 1, b: 1 })
    expect(data(await service.flush('b'))).toEqual([1])
    expect(await service.bufferSize('a', 'b')).toEqual({ a: 1, b: 0 })
    expect(data(await service.flush())).toEqual([1])
  })

  test('a job of an id of one’s own is added once', async () => {
    const { service, queue } = await open([buffer()])
    await queue.add(1, { id: 'own' })
    await expect(queue.add(2, { id: 'own' })).rejects.toMatchObject({ code: 'id-taken' })
    expect(await service.flush()).toMatchObject([{ id: 'own' }])
    await queue.addMany([{ data: 3, options: { id: 'own' } }, { data: 4 }])
    expect(data(await service.flush())).toEqual([4])
  })

  test('takes data as it is at the call, alone and in a batch', async () => {
    const { service, queue } = await open([buffer({ collect: async () => true })])
    const page = { number: 1 }
    const adding: Promise<unknown>[] = [queue.add(page)]
    page.number = 2
    adding.push(queue.addMany([{ data: page }, { data: page }]))
    page.number = 3
    await Promise.all(adding)
    const numbers = (await service.flush()).map(({ data }) => data.number)
    expect(numbers.sort()).toEqual([1, 2, 2])
  })

  test('data that cannot be stored is refused at the add', async () => {
    const { queue } = await open([buffer()])
    await expect(queue.add(() => {})).rejects.toMatchObject({ code: 'data-unserialisable' })
  })

  test.each<[string, JobBuffer, string]>([
    ['an id that is there', buffer(), 'there is one with the id "all"'],
    ['no id', buffer({ id: '' }), 'its id'],
    ['a size that is none', buffer({ id: 'b', flushAtSize: 0 }), 'flushAtSize'],
    ['a time that is none', buffer({ id: 'b', flushAfterMs: 0.5 }), 'flushAfterMs'],
  ])('%s is refused', async (_what, one, named) => {
    const { service } = await open([buffer()])
    expect(() => service.addBuffer(one)).toThrow(named)
  })

  test('a service makes them at its first buffer, and has none until then', async () => {
    const service = new Workbench().service()
    const queue = await service.createQueue({ name: 'q' })
    expect([await service.bufferSize(), await service.flush()]).toEqual([{}, []])
    service.addBuffer(buffer())
    await queue.add(1)
    expect(await service.bufferSize()).toEqual({ all: 1 })
    expect((await service.flush()).map(({ data }) => data)).toEqual([1])
  })

  test('in a bundle that leaves them out, the app is told what to name', () => {
    const { buffers, ...others } = AT_HAND
    delete AT_HAND.buffers
    const service = new Workbench().service()
    expect(() => service.addBuffer(buffer())).toThrow('new JobBuffers(service)')
    Object.assign(AT_HAND, { ...others, buffers })
  })
})

describe('by itself', () => {
  test('flushes a while after the first job it holds', async () => {
    const { bench, service, queue } = await open([buffer({ ...folding, flushAfterMs: 2_000 })])
    await service.start()
    await queue.add(1)
    await bench.clock.advance(1_500)
    await queue.add(2)
    expect(bench.calls).toEqual([])
    await bench.clock.advance(500)
    expect(bench.calls.map((call) => call.job.data)).toEqual([[1, 2]])
  })

  test('flushes what a process that is gone has put in', async () => {
    const bench = new Workbench()
    const { queue } = await open([buffer({ flushAfterMs: 60_000 })], {}, bench)
    await queue.add(1)
    const { service } = await open([buffer({ flushAfterMs: 60_000 })], {}, bench)
    await service.start()
    await bench.clock.advance(60_000)
    expect(bench.calls).toHaveLength(1)
  })

  test('flushes when it is full', async () => {
    const { service, queue } = await open([buffer({ ...folding, flushAtSize: 3 })])
    for (let i = 1; i <= 7; i++) await queue.add(i)
    expect(data((await service.findMany()).items)).toEqual([
      [1, 2, 3],
      [4, 5, 6],
    ])
    expect(await service.bufferSize()).toEqual({ all: 1 })
  })

  test('in a drain, which says when', async () => {
    const { bench, service, queue } = await open([buffer({ flushAfterMs: 5_000 })])
    await queue.add(1)
    const dueAt = new Date(bench.clock.now() + 5_000)
    expect(await service.drain()).toMatchObject({ processed: 0, nextDueAt: dueAt })
    await bench.clock.advance(5_000)
    const draining = service.drain()
    await bench.settle()
    await bench.call(0).finish()
    expect(await draining).toMatchObject({ processed: 1 })
  })
})

describe.each(SIZES)('with %s', (_name, limits) => {
  const ADDED = Array.from({ length: 12 }, (_, i) => i)

  /** Twelve jobs, folded by threes, in a buffer. */
  async function filled(): Promise<{ bench: Workbench; one: JobBuffer }> {
    const bench = new Workbench()
    const one = buffer({
      reduce: (jobs) =>
        [0, 3, 6, 9].flatMap((from) => {
          const three = jobs.slice(from, from + 3)
          return three[0] ? [new Job({ ...three[0], id: undefined, data: data(three) })] : []
        }),
    })
    const { queue } = await open([one], {}, bench)
    for (const i of ADDED) await queue.add(i)
    return { bench, one }
  }

  async function flushed({ bench, service }: Bench): Promise<number[]> {
    await bench.settle()
    return data((await service.findMany()).items).flat() as number[]
  }

  test.each([
    ['fails before it is done', false, false],
    ['fails after it was done', true, false],
    ['is the process’s last', false, true],
    ['is the process’s last, and done', true, true],
  ])('each job comes out once, whichever commit of a flush %s', async (_what, applied, dies) => {
    for (let failing = 1; ; failing++) {
      const { bench, one } = await filled()
      const shaky = new Shaky(bench.store, limits)
      const cut = await open([one], { storage: shaky.store }, bench)
      Object.assign(shaky, { failing: shaky.calls + failing, applied, dies })
      const flushing = cut.service.flush()
      if (dies) await bench.clock.advance(60_000)
      else expect(data(await bench.clock.until(flushing)).flat()).toEqual(ADDED)
      const after = await open([one], { storage: new Shaky(bench.store, limits).store }, bench)
      await bench.clock.until(after.service.flush())
      expect([failing, await flushed(after)]).toEqual([failing, ADDED])
      expect(await after.service.bufferSize()).toEqual({ all: 0 })
      if (shaky.calls < shaky.failing) break
    }
  })

  test('each job comes out once, though four processes flush while others add', async () => {
    const { bench, one } = await filled()
    const storage = (): Store => new Shaky(bench.store, limits).store
    const rivals = await Promise.all(
      [0, 1, 2, 3].map(() => open([one], { storage: storage() }, bench)),
    )
    const flushes = rivals.map(({ service }) => service.flush())
    const adds = rivals.map(({ queue }, i) => queue.add(100 + i))
    await bench.clock.until(Promise.all([...flushes, ...adds]))
    const last = rivals[0] as Bench
    await bench.clock.until(last.service.flush())
    expect((await flushed(last)).sort((a, b) => a - b)).toEqual([...ADDED, 100, 101, 102, 103])
  })

  test('a flush that was cut off is finished by whoever comes along', async () => {
    const { bench, one } = await filled()
    const shaky = new Shaky(bench.store, limits)
    const cut = await open([one], { storage: shaky.store }, bench)
    Object.assign(shaky, { failing: 3, applied: true, dies: true })
    void cut.service.flush()
    await bench.clock.advance(1_000)
    const next = await open([one], { storage: new Shaky(bench.store, limits).store }, bench)
    await next.service.start()
    await bench.clock.advance(10_000)
    const out = await flushed(next)
    const { all = 0 } = await next.service.bufferSize()
    // Either it had not begun, or all of it is done.
    expect([0, 12]).toContain(all)
    expect(out.length + all).toBe(12)
  })
})

test('an add that is done again, for its answer was lost, stops no flush and doubles no job', async () => {
  const { bench, service, queue } = await open([buffer()])
  const { service: other } = await open([buffer()], {}, bench)
  const commit = bench.store.commit.bind(bench.store)
  let losing = true
  bench.store.commit = async (units, hint) => {
    const versions = await commit(units, hint)
    if (!losing || !units[0]?.[0]?.key.startsWith('k/buffered/')) return versions
    losing = false
    await other.flush()
    throw new Error('The connection was lost')
  }
  await queue.add('once')
  await queue.add('after it')
  await bench.clock.until(service.flush())
  expect(await service.bufferSize()).toEqual({ all: 0 })
  expect(data((await service.findMany()).items)).toEqual(['once', 'after it'])
})

test('a buffer of 10,500 jobs comes out whole', async () => {
  const { service, queue } = await open([buffer(folding)])
  for (let from = 0; from < 10_500; from += 500) {
    await Promise.all(Array.from({ length: 500 }, (_, i) => queue.add(from + i)))
  }
  const jobs = await service.flush()
  expect(jobs).toHaveLength(2)
  expect(new Set(data(jobs).flat()).size).toBe(10_500)
})

describe('a storage of one’s own', () => {
  test('is used instead of the store', async () => {
    const bench = new Workbench()
    const service = bench.service()
    const queue = await service.createQueue({ name: 'work' })
    const storage = new InMemoryJobBufferStorageStrategy()
    new JobBuffers(service, { storage, clock: bench.clock })
    service.addBuffer(buffer(folding))
    service.addBuffer(buffer({ id: 'other', collect: () => false }))
    await queue.add(1)
    await queue.add(2)
    expect(await storage.bufferSize()).toEqual({ all: 2 })
    expect(await service.bufferSize()).toEqual({ all: 2, other: 0 })
    expect(data(await service.flush())).toEqual([[1, 2]])
    expect((await service.findMany()).totalItems).toBe(1)
  })

  test('keeps priority and delay of a job, and refuses what it cannot keep', async () => {
    const bench = new Workbench()
    const service = bench.service()
    const queue = await service.createQueue({ name: 'work' })
    new JobBuffers(service, { storage: new InMemoryJobBufferStorageStrategy(), clock: bench.clock })
    service.addBuffer(buffer())
    await queue.add(1, { priority: 5, delay: 60_000, retries: 2 })
    for (const [options, code] of [
      [{ delay: -1 }, 'input-invalid'],
      [{ id: 'mine' }, 'unsupported-by-store'],
      [{ timeout: 1_000 }, 'unsupported-by-store'],
    ] as const) {
      await expect(queue.add(2, options)).rejects.toMatchObject({ code })
    }
    const runAt = new Date(bench.clock.now() + 60_000)
    const [job, ...others] = await service.flush()
    expect(job).toMatchObject({ data: 1, priority: 5, retries: 2, runAt })
    expect(others).toEqual([])
  })

  test('what neither the queue nor the storage takes loses nothing behind it', async () => {
    const bench = new Workbench()
    const service = bench.service()
    const queue = await service.createQueue({ name: 'work' })
    const storage = new InMemoryJobBufferStorageStrategy()
    const keep = storage.add.bind(storage)
    new JobBuffers(service, { storage, clock: bench.clock })
    service.addBuffer(
      buffer({
        reduce: (jobs) =>
          jobs.map((job) => new Job({ ...job, data: job.data, priority: job.data })),
      }),
    )
    await queue.addMany([{ data: 0.5 }, { data: 2 }])
    storage.add = async (id, job) => {
      if (job.data === 0.5) throw new Error('full')
      return keep(id, job)
    }
    await expect(service.flush()).rejects.toMatchObject({ code: 'input-invalid' })
    expect(data(await service.flush())).toEqual([2])
  })

  test('§2.4 no ids, or none named, are all', async () => {
    const storage = new InMemoryJobBufferStorageStrategy()
    await storage.add('a', new Job({ queueName: 'work', data: 1 }))
    await storage.add('b', new Job({ queueName: 'work', data: 2 }))
    expect(await storage.bufferSize([])).toEqual({ a: 1, b: 1 })
    expect(Object.keys(await storage.flush([]))).toEqual(['a', 'b'])
    expect(await storage.bufferSize()).toEqual({})
  })

  test('and with a strategy of one’s own; what an add refuses waits for the next flush', async () => {
    const added: Job[] = []
    let refuses = true
    const strategy = {
      add: async (job: Job) => {
        if (refuses && added.length === 1) throw new Error('full')
        added.push(job)
        return job
      },
      start: async () => {},
      stop: async () => {},
    }
    const bench = new Workbench()
    const service = bench.service({ strategy, storage: undefined } as never)
    const queue = await service.createQueue({ name: 'work' })
    new JobBuffers(service)
    service.addBuffer(buffer())
    await queue.addMany([{ data: 1 }, { data: 2 }, { data: 3 }])
    await expect(service.flush()).rejects.toThrow('full')
    expect(await service.bufferSize()).toEqual({ all: 2 })
    refuses = false
    await service.flush()
    expect(data(added)).toEqual([1, 2, 3])
  })
})

test('a store without compare-and-set is refused, naming the remedy', async () => {
  const store = { ...new Shaky(createMemoryStore()).store, guarantee: 'eventual' as const }
  const { queue } = await open([buffer()], { storage: store })
  await expect(queue.add(1)).rejects.toMatchObject({ code: 'unsupported-by-store' })
})
