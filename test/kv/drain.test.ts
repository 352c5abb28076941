import { describe, expect, test } from 'vitest'
import { createCloudflareKVStore } from '../../adapters/store/cloudflare-kv.ts'
import { type Job, JobQueueService, type Store, silentLogger } from '../../src/main.ts'
import { FakeClock, seededRandom } from '../../src/testing/main.ts'
import { SimulatedKV } from '../support/simulated-kv.ts'
import { Workbench } from '../support/workbench.ts'

describe('drain()', () => {
  test('runs what there is, jobs that jobs add included, and says why it stopped', async () => {
    const bench = new Workbench()
    const service = bench.service()
    const child = await service.createQueue({ name: 'child', process: () => 'child' })
    const queue = await service.createQueue({
      name: 'work',
      process: async (job: Job<string>) => {
        if (job.data === 'bad') throw new Error('bad')
        if (job.data === 'parent') await child.add(1)
      },
    })
    await queue.addMany([
      { data: 'good' },
      { data: 'bad' },
      { data: 'parent' },
      { data: 'bad', options: { retries: 1 } },
    ])
    const delayed = await queue.add('later', { delay: 500 })
    const { operations, ...report } = await service.drain()
    expect(report).toEqual({
      processed: 5,
      completed: 3,
      failed: 1,
      retried: 1,
      cancelled: 0,
      deferred: 0,
      stoppedBecause: 'empty',
      nextDueAt: delayed.runAt,
    })
    expect(operations.writes).toBeGreaterThan(10)
    await bench.clock.advance(500)
    expect(await service.drain()).toMatchObject({ processed: 1, completed: 1 })
    await bench.clock.advance(60_000)
    expect(await service.drain()).toMatchObject({ processed: 1, failed: 1, nextDueAt: null })
  })

  test('next() runs one job, of each queue in turn', async () => {
    const bench = new Workbench()
    const service = bench.service()
    const seen: string[] = []
    for (const name of ['a', 'b', 'c']) {
      const queue = await service.createQueue({
        name,
        process: (job: Job) => void seen.push(job.queueName),
      })
      await queue.addMany([{ data: 1 }, { data: 2 }])
    }
    for (let i = 0; i < 6; i++)
      expect(await service.next()).toMatchObject({ processed: 1, stoppedBecause: 'max-jobs' })
    expect(await service.next()).toMatchObject({
      processed: 0,
      stoppedBecause: 'empty',
      nextDueAt: null,
    })
    expect(seen.slice(0, 3).sort()).toEqual(['a', 'b', 'c'])
    expect(seen.slice(3).sort()).toEqual(['a', 'b', 'c'])
  })

  test('begins nothing once its budget is over, and waits for what is under way', async () => {
    const bench = new Workbench()
    const service = bench.service()
    const queue = await service.createQueue({ name: 'work', process: bench.manual })
    await queue.addMany([{ data: 1 }, { data: 2 }])
    let report: unknown
    const draining = service.drain({ budgetMs: 1_000 }).then((result) => {
      report = result
    })
    await bench.clock.advance(5_000)
    expect(report).toBeUndefined()
    await bench.call(0).finish()
    await draining
    expect(report).toMatchObject({
      processed: 1,
      completed: 1,
      stoppedBecause: 'budget',
      nextDueAt: expect.any(Date),
    })
  })

  test('keeps to a queue’s concurrency, together with other drains and a resident worker', async () => {
    const bench = new Workbench()
    const { service, queue } = await bench.worker({ concurrency: 2 })
    await queue.addMany(Array.from({ length: 6 }, (_, i) => ({ data: i })))
    await bench.settle()
    const drains = [service.drain(), service.drain({ maxJobs: 1 })]
    await bench.settle()
    expect(bench.calls).toHaveLength(2)
    for (let i = 0; i < 6; i++) await bench.call(i).finish()
    await Promise.all(drains)
    expect(bench.calls).toHaveLength(6)
  })

  test('that is aborted gives back what it runs', async () => {
    const bench = new Workbench()
    const service = bench.service()
    const queue = await service.createQueue({ name: 'work', process: bench.manual })
    const { id } = await queue.add(1)
    const aborter = new AbortController()
    const draining = service.drain({ signal: aborter.signal })
    await bench.settle()
    aborter.abort()
    await bench.call(0).fail(bench.call(0).context.signal.reason)
    expect(await draining).toMatchObject({ processed: 1, deferred: 1, stoppedBecause: 'aborted' })
    expect(await service.findOne(id as string)).toMatchObject({ state: 'PENDING', attempts: 0 })
    expect(await service.drain({ signal: AbortSignal.abort() })).toMatchObject({
      processed: 0,
      stoppedBecause: 'aborted',
    })
  })

  test('that is aborted begins no job whose claim was on its way', async () => {
    const bench = new Workbench()
    const service = bench.service()
    const queue = await service.createQueue({ name: 'work', process: bench.manual })
    const id = String((await queue.add(1)).id)
    const commit = bench.store.commit.bind(bench.store)
    bench.store.commit = async (...request) => {
      await new Promise<void>((done) => bench.clock.setTimeout(done, 50))
      return commit(...request)
    }
    const aborter = new AbortController()
    const draining = service.drain({ signal: aborter.signal })
    await bench.clock.advance(20)
    aborter.abort()
    expect(await bench.clock.until(draining)).toMatchObject({
      processed: 0,
      stoppedBecause: 'aborted',
    })
    expect(bench.calls).toHaveLength(0)
    expect(await service.findOne(id)).toMatchObject({ state: 'PENDING', attempts: 0 })
  })

  test('that outlived its lease is told so, though the job has failed under its fence', async () => {
    const bench = new Workbench()
    // Its process stands still for longer than its lease, timers and all.
    const still = {
      now: () => bench.clock.now(),
      monotonic: () => bench.clock.monotonic(),
      setTimeout: () => 0,
      clearTimeout: () => {},
    }
    const service = bench.service({ clock: still })
    service.attach({ resident: false })
    const queue = await service.createQueue({ name: 'work', process: bench.manual })
    const { id } = await queue.add(1)
    const draining = service.drain()
    await bench.settle()
    const elsewhere = bench.service({ maxLapses: 0 })
    await elsewhere.createQueue({ name: 'work', process: bench.manual })
    await bench.clock.advance(100_000)
    await elsewhere.drain()
    expect(await elsewhere.findOne(id as string)).toMatchObject({ state: 'FAILED' })
    await bench.call(0).finish('too late')
    expect(await draining).toMatchObject({ failed: 0, deferred: 1 })
  })

  test.each([
    { maxJobs: NaN },
    { maxJobs: 1.5 },
    { maxJobs: -1 },
    { budgetMs: NaN },
    { budgetMs: -1 },
  ])('refuses %o, and its queues work on', async (options) => {
    const bench = new Workbench()
    const service = bench.service()
    const queue = await service.createQueue({ name: 'work', process: () => 1 })
    await queue.add(1)
    await expect(service.drain(options)).rejects.toMatchObject({ code: 'input-invalid' })
    expect(await service.drain({ maxJobs: Infinity, budgetMs: Infinity })).toMatchObject({
      completed: 1,
    })
  })

  test('beside a rival is not over while there are jobs for both', async () => {
    const bench = new Workbench()
    const services = [bench.service(), bench.service()]
    for (const one of services) await one.createQueue({ name: 'work', process: bench.manual })
    await services[0]?.queue('work')?.addMany(Array.from({ length: 10 }, (_, i) => ({ data: i })))
    const drains = services.map((one) => one.drain())
    for (let i = 0; i < 10; i++) {
      await bench.clock.advance(50)
      await bench.call(i).finish()
    }
    const reports = await Promise.all(drains)
    expect(reports.map(({ processed }) => processed)).toEqual([5, 5])
  })

  test('fills a slot that became free while it looked at other queues', async () => {
    const bench = new Workbench()
    const wait = (ms: number): Promise<void> =>
      new Promise((done) => bench.clock.setTimeout(done, ms))
    const read = bench.store.read.bind(bench.store)
    bench.store.read = (query) => wait(10).then(() => read(query))
    const service = bench.service()
    const queue = await service.createQueue({
      name: 'work',
      concurrency: 2,
      process: ({ data }: Job<number>) => wait(data),
    })
    await service.createQueue({ name: 'idle', process: () => 1 })
    await bench.clock.until(queue.addMany([10_000, 5, 6].map((data) => ({ data }))))
    const long = await bench.clock.until(service.drain({ budgetMs: 5_000 }))
    expect(long).toMatchObject({ completed: 3, stoppedBecause: 'budget' })
    await bench.clock.until(queue.addMany([1, 2, 3].map((data) => ({ data }))))
    const short = await bench.clock.until(service.drain())
    expect(short).toMatchObject({ completed: 3, stoppedBecause: 'empty' })
  })

  test('waits for what it began before a look failed', async () => {
    const bench = new Workbench()
    const service = bench.service()
    for (const name of ['a', 'b']) {
      const queue = await service.createQueue({ name, concurrency: 5, process: bench.manual })
      await queue.add(name)
    }
    const read = bench.store.read.bind(bench.store)
    bench.store.read = async (query) => {
      if (query.ranges?.some(({ place }) => place === 'r/ready/b')) throw new Error('cut off')
      return read(query)
    }
    let over = false
    const draining = service.drain({ maxJobs: 3 }).finally(() => {
      over = true
    })
    const failing = expect(draining).rejects.toThrow('cut off')
    await bench.clock.advance(100)
    expect([bench.calls.length, over]).toEqual([1, false])
    await bench.call(0).finish()
    await failing
  })

  test('of own jobs passes over those that are gone', async () => {
    const bench = new Workbench()
    const service = bench.service()
    service.attach({ resident: false, onAdd: () => {} })
    const queue = await service.createQueue({ name: 'work', process: () => 1 })
    const [first] = await queue.addMany([{ data: 1 }, { data: 2 }, { data: 3 }])
    await service.cancelJob(String(first?.id))
    expect(await service.drain({ only: 'own' })).toMatchObject({ completed: 2 })
  })

  test('of own jobs runs those alone, once a platform has said so', async () => {
    const bench = new Workbench()
    const service = bench.service()
    const queue = await service.createQueue({ name: 'work', process: () => 1 })
    await queue.add('before')
    const drains: Promise<unknown>[] = []
    service.attach({
      resident: false,
      onAdd: () => void drains.push(service.drain({ only: 'own' })),
    })
    await (await bench.service().createQueue({ name: 'work' })).add('elsewhere')
    await queue.addMany([{ data: 'own' }, { data: 'own later', options: { delay: 5_000 } }])
    const lists = bench.store.operations().lists
    expect(await Promise.all(drains)).toEqual([
      expect.objectContaining({ processed: 1, completed: 1 }),
    ])
    expect(bench.store.operations().lists).toBe(lists)
    const { items } = await service.findMany({ filter: { state: { eq: 'COMPLETED' } } })
    expect(items.map(({ data }) => data)).toEqual(['own'])
    await expect(service.start()).rejects.toThrow('drain()')
  })
})

/** Workers at one location, on KV that does not lag, with a clock that runs on when it is waited for. */
class Edge {
  readonly clock: FakeClock = new FakeClock()
  readonly kv: SimulatedKV
  readonly store: Store
  readonly service: JobQueueService
  readonly drains: Promise<unknown>[] = []

  constructor(drainsOnAdd: boolean) {
    const random = seededRandom(3)
    this.kv = new SimulatedKV({ now: () => this.clock.now(), random, lagMs: 0 })
    this.store = createCloudflareKVStore(this.kv.at('CDG'), { clock: this.clock, random })
    this.service = new JobQueueService({
      storage: this.store,
      clock: this.clock,
      random,
      logger: silentLogger,
    })
    const onAdd = (): void => void this.drains.push(this.service.drain({ only: 'own' }))
    this.service.attach({ resident: false, ...(drainsOnAdd && { onAdd }) })
  }

  /** What the store was asked to do meanwhile, writes and deletes as one. */
  async counting(act: () => Promise<unknown>): Promise<{ changes: number; lists: number }> {
    const before = this.store.operations()
    await this.clock.until(act())
    const after = this.store.operations()
    const changes = after.writes + after.deletes - before.writes - before.deletes
    return { changes, lists: after.lists - before.lists }
  }
}

test('two locations that use a new namespace at the same moment are both served', async () => {
  const clock = new FakeClock()
  const kv = new SimulatedKV({ now: () => clock.now(), random: () => 0.99, lagMs: 60_000 })
  const adds = ['CDG', 'SFO'].map(async (location, seed) => {
    const random = seededRandom(seed)
    const storage = createCloudflareKVStore(kv.at(location), { clock, random })
    const service = new JobQueueService({ storage, clock, random, logger: silentLogger })
    const queue = await service.createQueue({ name: 'work' })
    await queue.add(location)
  })
  await clock.until(Promise.all(adds))
  // One of them wrote what the namespace holds a moment after the other, and was refused.
  expect(kv.rivals).toBe(1)
  expect(kv.truth('wherry/live/')).toHaveLength(2)
})

describe('on Cloudflare KV, counted', () => {
  test('a job that its adder runs is 3 writes and deletes, and no list', async () => {
    const edge = new Edge(true)
    const queue = await edge.service.createQueue({ name: 'work', process: () => 'done' })
    await edge.clock.until(queue.add('warm'))
    await edge.clock.until(Promise.all(edge.drains))
    const n = 20
    const counted = await edge.counting(async () => {
      for (let i = 0; i < n; i++) await queue.add(i)
      await Promise.all(edge.drains)
    })
    expect(counted).toEqual({ changes: 3 * n, lists: 0 })
    expect(edge.kv.truth('wherry/live/')).toEqual([])
    expect(edge.kv.truth('wherry/done/')).toHaveLength(n + 1)
  })

  test('a job that cron runs is 4, progress and all, and a tick lists each thousand live jobs once', async () => {
    const edge = new Edge(false)
    const queue = await edge.service.createQueue({
      name: 'work',
      concurrency: 10,
      process: (job) => {
        job.setProgress(50)
        return 'done'
      },
    })
    const n = 100
    const added = await edge.counting(() =>
      queue.addMany(Array.from({ length: n }, (_, i) => ({ data: i }))),
    )
    expect(added).toEqual({ changes: n + 1, lists: 0 })
    const ticked = await edge.counting(() => edge.service.drain())
    // One list of what is live, one of what is due much later.
    expect(ticked).toEqual({ changes: 3 * n, lists: 2 })
    expect(edge.kv.truth('wherry/live/')).toEqual([])
    expect(edge.kv.tooFast).toBe(0)
  })

  test('a job that is due in two hours is 6, and 5,000 such cost a tick one list', async () => {
    const edge = new Edge(false)
    const queue = await edge.service.createQueue({ name: 'work', process: () => 'done' })
    await edge.clock.until(queue.add('warm'))
    await edge.clock.until(edge.service.drain())
    const added = await edge.counting(() => queue.add('later', { delay: 7_200_000 }))
    await edge.clock.until(
      queue.addMany(
        Array.from({ length: 5_000 }, (_, i) => ({ data: i, options: { delay: 86_400_000 + i } })),
      ),
    )
    const early = await edge.counting(() => edge.service.drain())
    expect(early).toEqual({ changes: 0, lists: 2 })
    await edge.clock.advance(7_200_000)
    const late = await edge.counting(() => edge.service.drain())
    expect(added.changes + late.changes).toBeLessThanOrEqual(6)
    expect(late.lists).toBeLessThanOrEqual(2)
  })

  test('a drain stops before the platform’s bound on operations', async () => {
    const edge = new Edge(false)
    const queue = await edge.service.createQueue({
      name: 'work',
      concurrency: 20,
      process: () => 'done',
    })
    await edge.clock.until(queue.addMany(Array.from({ length: 600 }, (_, i) => ({ data: i }))))
    const before = edge.store.operations()
    const report = await edge.clock.until(edge.service.drain())
    const { reads, writes, deletes, lists } = edge.store.operations()
    expect(report.stoppedBecause).toBe('budget')
    expect(
      reads +
        writes +
        deletes +
        lists -
        (before.reads + before.writes + before.deletes + before.lists),
    ).toBeLessThanOrEqual(1_000)
    expect(report.processed).toBeGreaterThan(150)
  })

  test('a read that fails strands nothing that was claimed before it', async () => {
    const edge = new Edge(false)
    const queue = await edge.service.createQueue({
      name: 'work',
      concurrency: 3,
      process: () => 'done',
    })
    await edge.clock.until(queue.addMany([{ data: 1 }, { data: 2 }, { data: 3 }]))
    const read = edge.store.read.bind(edge.store)
    let looks = 0
    edge.store.read = async (query) => {
      if (query.parts && !query.ranges && ++looks === 2) throw new Error('cut off')
      return read(query)
    }
    const report = await edge.clock.until(edge.service.drain())
    expect(report).toMatchObject({ completed: 3, stoppedBecause: 'empty' })
  })

  test('no resident worker', async () => {
    const edge = new Edge(false)
    edge.service.attach({ resident: true })
    await edge.service.createQueue({ name: 'work', process: () => 'done' })
    await expect(edge.service.start()).rejects.toThrow(
      expect.objectContaining({ code: 'unsupported-by-store' }),
    )
  })
})
