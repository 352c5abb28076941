/** §2.1–2.7 queues, handles, buffers and strategies, where other tests do not say it already. */
import { createRequire } from 'node:module'
import type { Observable } from 'rxjs'
import { describe, expect, test } from 'vitest'
import {
  isInspectableJobQueueStrategy,
  Job,
  JobBuffers,
  type JobQueueStrategy,
  type JobUpdate,
  type JobUpdates,
  PollingJobQueueStrategy,
  silentLogger,
} from '../../src/main.ts'
import { FakeClock } from '../../src/testing/main.ts'
import { Workbench } from '../support/workbench.ts'

// The package is Vendure's, so it is asked for from there.
const fromVendure = createRequire(createRequire(import.meta.url).resolve('@vendure/core'))
const { from }: { from(updates: unknown): Observable<JobUpdate> } = fromVendure('rxjs')

describe('§2.1 JobQueue', () => {
  test('a job is added though the queue does not run, with the retries that are asked for', async () => {
    const bench = new Workbench()
    const service = bench.service()
    const queue = await service.createQueue({ name: 'work', process: bench.manual })
    const job = await queue.add(1, { retries: 3 })
    expect([queue.started, job.state, job.retries]).toEqual([false, 'PENDING', 3])
    expect((await queue.add(2)).retries).toBe(0)
    await service.start()
    await queue.start()
    await bench.settle()
    expect([queue.started, bench.calls.length]).toEqual([true, 1])
  })

  test.each<[why: string, process: () => unknown, shown: object]>([
    [
      'a throw at once is a rejection',
      () => {
        throw new Error('at once')
      },
      { state: 'FAILED', error: 'at once' },
    ],
    [
      'what is thrown need not be an Error',
      () => Promise.reject('text'),
      { state: 'FAILED', error: 'text' },
    ],
    ['what is returned need not be a promise', () => 7, { state: 'COMPLETED', result: 7 }],
    ['nor anything', () => undefined, { state: 'COMPLETED', result: undefined }],
  ])('of a handler: %s', async (_why, process, shown) => {
    const service = new Workbench().service()
    const queue = await service.createQueue({ name: 'work', process })
    const { id } = await queue.add(1)
    await service.drain()
    expect(await service.findOne(id as string)).toMatchObject(shown)
  })
})

describe('§2.2 SubscribableJob.updates()', () => {
  /** What a follower hears, as Vendure's users listen. */
  function follow(updates: JobUpdates<unknown, unknown>): string[] {
    const heard: string[] = []
    from(updates).subscribe({
      next: ({ state, progress }) => heard.push(`${state} ${progress}`),
      error: (error) => heard.push(`error ${error.message}`),
      complete: () => heard.push('complete'),
    })
    return heard
  }

  test.each<
    [why: string, end: (bench: Workbench, id: string) => Promise<unknown>, heard: string[]]
  >([
    ['a completed job ends them', (bench) => bench.call(0).finish(), ['COMPLETED 100', 'complete']],
    ['a failed one is an error', (bench) => bench.call(0).fail(new Error('no')), ['error no']],
    [
      'a cancelled one is no error',
      (bench, id) => bench.service().cancelJob(id),
      ['CANCELLED 0', 'complete'],
    ],
  ])('in RxJS: %s', async (_why, end, expected) => {
    const bench = new Workbench()
    const { queue } = await bench.worker()
    const job = await queue.add(1)
    const heard = follow(job.updates())
    await bench.clock.advance(300)
    expect(heard).toEqual(['PENDING 0', 'RUNNING 0'])
    await end(bench, job.id as string)
    await bench.clock.advance(300)
    expect(heard).toEqual(['PENDING 0', 'RUNNING 0', ...expected])
  })

  test('an attempt that failed and is tried again is an update like any', async () => {
    const bench = new Workbench()
    const { queue } = await bench.worker()
    const job = await queue.add(1, { retries: 1 })
    const heard = follow(job.updates())
    await bench.clock.advance(300)
    await bench.call(0).fail(new Error('no'))
    await bench.clock.advance(300)
    expect(heard).toEqual(['PENDING 0', 'RUNNING 0', 'RETRYING 0'])
  })

  test.each([
    [undefined, 200],
    [10, 50],
    [500, 500],
  ])('a pollInterval of %j ms looks each %d', async (pollInterval, ms) => {
    const bench = new Workbench()
    // In another process, where nothing tells of its end.
    const queue = await bench.service().createQueue({ name: 'work' })
    const job = await queue.add(1)
    const { reads } = bench.store.operations()
    const updates = job.updates({ pollInterval })
    await bench.clock.advance(1_000)
    // Nothing is asked before somebody listens.
    expect(bench.store.operations().reads).toBe(reads)
    for (const subscribe of [() => updates.subscribe(() => {}), () => from(updates).subscribe()]) {
      const before = bench.store.operations().reads
      const subscription = subscribe()
      await bench.clock.advance(10 * ms - 1)
      expect(bench.store.operations().reads - before).toBe(10)
      subscription.unsubscribe()
      const after = bench.store.operations().reads
      await bench.clock.advance(10 * ms)
      expect(bench.store.operations().reads).toBe(after)
    }
  })

  test('of a job without an id there are none', async () => {
    const bench = new Workbench()
    const strategy = { ...inspectable, add: async (job: Job) => job } as JobQueueStrategy
    const service = bench.service({ storage: undefined, strategy })
    const job = await (await service.createQueue({ name: 'work' })).add(1)
    expect(job.id).toBeNull()
    const expected = { code: 'job-not-found' }
    expect(() => job.updates()).toThrow(expect.objectContaining(expected))
    await expect(job.wait()).rejects.toMatchObject(expected)
  })
})

const inspectable = {
  add: async () => {},
  start: async () => {},
  stop: async () => {},
  findOne: async () => undefined,
  findMany: async () => ({ items: [], totalItems: 0 }),
  findManyById: async () => [],
  removeSettledJobs: async () => 0,
}

describe('§2.5 strategies', () => {
  test.each([
    ['has the four methods, though not cancelJob', {}, true],
    ['has no findOne', { findOne: undefined }, false],
    ['has no findMany', { findMany: undefined }, false],
    ['has no findManyById', { findManyById: undefined }, false],
    ['has no removeSettledJobs', { removeSettledJobs: undefined }, false],
  ])('one that %s: inspectable is %3$s', (_what, change, expected) => {
    const strategy = { ...inspectable, ...change } as unknown as JobQueueStrategy
    expect(isInspectableJobQueueStrategy(strategy)).toBe(expected)
  })

  test('one that cannot cancel says so', async () => {
    const strategy = inspectable as unknown as JobQueueStrategy
    const service = new Workbench().service({ storage: undefined, strategy })
    await expect(service.cancelJob('a')).rejects.toMatchObject({ code: 'unsupported-by-strategy' })
  })

  test.each<
    [why: string, names: string[] | undefined, olderThan: number | undefined, removed: number]
  >([
    ['all queues, up to now', undefined, undefined, 2],
    ['none named is all', [], undefined, 2],
    ['one queue', ['a'], undefined, 1],
    ['a queue that there is not', ['c'], undefined, 0],
    ['older than, strictly', undefined, 0, 0],
    ['older by a millisecond', undefined, 1, 2],
  ])('removeSettledJobs(): %s', async (_why, names, sinceMs, removed) => {
    const bench = new Workbench()
    const service = bench.service()
    for (const name of ['a', 'b']) {
      const queue = await service.createQueue({ name, process: () => {} })
      await queue.add(1)
    }
    await service.drain()
    const settledAt = bench.clock.now()
    await bench.clock.advance(1_000)
    await service.queue('a')?.add('waits')
    const olderThan = sinceMs === undefined ? undefined : new Date(settledAt + sinceMs)
    expect(await service.removeSettledJobs(names, olderThan)).toBe(removed)
    expect((await service.findMany()).totalItems).toBe(3 - removed)
  })
})

describe('§2.4 buffers', () => {
  test('one that is removed collects no more, and keeps what it holds for one of its id', async () => {
    const bench = new Workbench()
    const service = bench.service()
    new JobBuffers(service, { clock: bench.clock })
    const queue = await service.createQueue({ name: 'work' })
    const buffer = { id: 'one', collect: async () => true, reduce: (jobs: Job[]) => jobs }
    service.addBuffer(buffer)
    await queue.add(1)
    service.removeBuffer(buffer)
    expect((await queue.add(2)).isBuffered).toBe(false)
    expect(await service.flush('one', buffer)).toEqual([])
    service.addBuffer(buffer)
    expect(await service.bufferSize(buffer, 'none')).toEqual({ one: 1, none: 0 })
    expect((await service.flush('none', buffer)).map(({ data }) => data)).toEqual([1])
  })

  test('what an adder does to the data afterwards is not seen by a buffer', async () => {
    const bench = new Workbench()
    const service = bench.service()
    new JobBuffers(service, { clock: bench.clock })
    const queue = await service.createQueue({ name: 'work' })
    service.addBuffer({ id: 'one', collect: async () => true, reduce: (jobs) => jobs })
    const data = { to: ['a'] }
    const adding = queue.add(data)
    data.to.push('b')
    await adding
    expect((await service.flush())[0]?.data).toEqual({ to: ['a'] })
  })
})

describe('§2.6 PollingJobQueueStrategy', () => {
  class One extends PollingJobQueueStrategy {
    readonly job = new Job({ id: 'one', queueName: 'work', data: 1 })
    broken = false
    #given = false

    async add<Data>(job: Job<Data>): Promise<Job<Data>> {
      return job
    }

    async next(): Promise<Job | undefined> {
      if (this.broken) throw new Error('no connection')
      if (this.#given) return undefined
      this.#given = true
      this.job.start()
      return this.job
    }

    async update(): Promise<void> {}

    async findOne(): Promise<Job | undefined> {
      return this.job
    }
  }

  test('a handler says by its job that it saw it cancelled', async () => {
    const clock = new FakeClock()
    const strategy = new One({ clock, logger: silentLogger })
    await strategy.start('work', () => new Job({ queueName: 'work', data: 1, state: 'CANCELLED' }))
    await clock.advance(10)
    expect(strategy.job.state).toBe('CANCELLED')
  })

  test('a failure that goes on is logged once in three seconds', async () => {
    const clock = new FakeClock()
    const logged: string[] = []
    const logger = { ...silentLogger, error: (message: string) => void logged.push(message) }
    const strategy = new One({ clock, logger })
    strategy.broken = true
    await strategy.start('work', () => {})
    await clock.advance(8_900)
    expect(logged).toHaveLength(3)
  })
})
