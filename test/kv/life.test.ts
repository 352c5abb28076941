import { describe, expect, test, vi } from 'vitest'
import { jobKey } from '../../src/kv/layout.ts'
import { type Job, JobQueueService, LeaseLostError } from '../../src/main.ts'
import { cutOff, Workbench } from '../support/workbench.ts'

describe('a job', () => {
  test('runs, and its result is stored', async () => {
    const bench = new Workbench()
    const { service, queue } = await bench.worker()
    const { id } = await queue.add({ n: 1 })
    await bench.settle()
    expect(await service.findOne(id as string)).toMatchObject({
      state: 'RUNNING',
      attempts: 1,
      data: { n: 1 },
    })
    expect(bench.call(0).job.data).toEqual({ n: 1 })
    await bench.clock.advance(50)
    await bench.call(0).finish({ m: 2 })
    expect(await service.findOne(id as string)).toMatchObject({
      state: 'COMPLETED',
      result: { m: 2 },
      progress: 100,
      isSettled: true,
      duration: 50,
    })
  })

  test('keeps what JSON loses, in its data and in its result', async () => {
    const bench = new Workbench()
    const { service, queue } = await bench.worker()
    const value = { at: new Date(5), map: new Map([['a', new Set([1n])]]), nothing: undefined }
    const { id } = await queue.add(value)
    await bench.settle()
    expect(bench.call(0).job.data).toEqual(value)
    expect(Object.keys(bench.call(0).job.data as object)).toContain('nothing')
    await bench.call(0).finish(value)
    expect((await service.findOne(id as string))?.result).toEqual(value)
  })

  test('that fails is tried again after its back-off, and fails for good when its retries are used up', async () => {
    const bench = new Workbench()
    const { service, queue } = await bench.worker({
      backoffStrategy: (_name, attempts) => attempts * 1_000,
    })
    const { id } = await queue.add(null, { retries: 1 })
    await bench.settle()
    await bench.call(0).fail(new Error('once'))
    expect(await service.findOne(id as string)).toMatchObject({
      state: 'RETRYING',
      error: 'once',
      attempts: 1,
    })
    await bench.clock.advance(999)
    expect(bench.calls).toHaveLength(1)
    await bench.clock.advance(1)
    expect(bench.calls).toHaveLength(2)
    await bench.call(1).fail('twice')
    expect(await service.findOne(id as string)).toMatchObject({
      state: 'FAILED',
      error: 'twice',
      attempts: 2,
      isSettled: true,
    })
    await bench.clock.advance(3_600_000)
    expect(bench.calls).toHaveLength(2)
  })

  test('keeps a long error whole, and shows its beginning in lists', async () => {
    const bench = new Workbench()
    const { service, queue } = await bench.worker()
    const { id } = await queue.add(null)
    await bench.settle()
    const message = `${'"漢\\'.repeat(500)} end`
    await bench.call(0).fail(new Error(message))
    expect((await service.findOne(id as string))?.error).toBe(message)
    const { got } = await bench.store.read({ get: [jobKey(id as string)] })
    expect(message.startsWith(JSON.parse(got[0]?.head ?? '').x)).toBe(true)
  })

  test.each([
    ['a function', { f: () => {} }, /result\.f: it is a function/],
    ['too long', 'x'.repeat(70 * 2 ** 20), /over 67108864 bytes/],
  ])('whose result is %s has failed', async (_name, result, message) => {
    const bench = new Workbench()
    const { service, queue } = await bench.worker()
    const { id } = await queue.add(null)
    await bench.settle()
    await bench.call(0).finish(result)
    const job = await service.findOne(id as string)
    expect(job?.state).toBe('FAILED')
    expect(job?.error).toMatch(message)
  })

  test('whose back-off strategy throws is tried again all the same', async () => {
    const bench = new Workbench()
    const { queue } = await bench.worker({
      backoffStrategy: () => {
        throw new Error('no')
      },
    })
    await queue.add(null, { retries: 1 })
    await bench.settle()
    await bench.call(0).fail('x')
    await bench.clock.advance(1_000)
    expect(bench.calls).toHaveLength(2)
  })
})

describe('order', () => {
  test('by priority, then first in first out; delayed jobs come in their time', async () => {
    const bench = new Workbench()
    const { service, queue } = await bench.worker()
    await queue.pause()
    const add = (n: number, options = {}): Promise<unknown> => queue.add(n, options)
    await add(1)
    await add(2, { priority: -1 })
    await add(3, { priority: 2047 })
    await add(4, { delay: 60_000 })
    await add(5)
    await add(6, { runAt: new Date(bench.clock.now() + 30_000), priority: 5 })
    await queue.resume()
    let seen = 0
    const order = async (): Promise<unknown[]> => {
      const from = seen
      for (await bench.settle(); seen < bench.calls.length; seen++) await bench.call(seen).finish()
      return bench.calls.slice(from).map(({ job }) => job.data)
    }
    expect(await order()).toEqual([3, 1, 5, 2])
    await bench.clock.advance(29_999)
    expect(await order()).toEqual([])
    await bench.clock.advance(1)
    expect(await order()).toEqual([6])
    await bench.clock.advance(30_000)
    expect(await order()).toEqual([4])
    await service.stop()
  })

  test('a record that cannot be read stays where it is and hides nothing', async () => {
    const bench = new Workbench()
    const error = vi.fn()
    const { queue } = await bench.worker({ logger: { debug() {}, info() {}, warn() {}, error } })
    await bench.store.commit([
      [{ key: 'j/bad1', expect: null, place: 'r/ready/work', score: -5, head: '{"v":99}' }],
      [{ key: 'j/bad2', expect: null, place: 'r/ready/work', score: -4, head: 'not JSON' }],
    ])
    await queue.add('good')
    await bench.settle()
    expect(bench.calls.map(({ job }) => job.data)).toEqual(['good'])
    await bench.call(0).finish()
    await bench.clock.advance(60_000)
    expect(error).toHaveBeenCalledTimes(2)
    const { counts } = await bench.store.read({ counts: ['r/ready/work'] })
    expect(counts).toEqual([2])
  })
})

describe('leases', () => {
  test('a job whose worker died runs again after its lease, and keeps its retries', async () => {
    const bench = new Workbench()
    const dying = cutOff(bench)
    const { queue } = await bench.worker({ storage: dying.store, leaseMs: 10_000 })
    const { id } = await queue.add(null)
    await bench.settle()
    dying.cut()
    const { service } = await bench.worker({ leaseMs: 10_000 })
    await bench.clock.advance(9_999)
    expect(bench.calls).toHaveLength(1)
    await bench.clock.advance(5_001)
    expect(bench.calls).toHaveLength(2)
    expect(bench.call(1).context.fence).toBeGreaterThan(bench.call(0).context.fence)
    expect(bench.call(1).job).toMatchObject({ attempts: 1, retries: 0 })
    await bench.call(1).finish('done')
    expect(await service.findOne(id as string)).toMatchObject({
      state: 'COMPLETED',
      result: 'done',
    })
  })

  test('a holder that was cut off is told by its signal, and cannot settle what another has', async () => {
    const bench = new Workbench()
    const warn = vi.fn()
    let late = false
    const { store } = bench
    const slow: typeof store = {
      ...{ name: store.name, guarantee: store.guarantee, clock: store.clock, limits: store.limits },
      read: (query) => store.read(query),
      commit: async (units, hint) => {
        if (late) await new Promise<void>((resolve) => void bench.clock.setTimeout(resolve, 30_000))
        return store.commit(units, hint)
      },
      operations: () => store.operations(),
      close: () => store.close(),
    }
    const { queue } = await bench.worker({
      storage: slow,
      leaseMs: 10_000,
      logger: { debug() {}, info() {}, warn, error() {} },
    })
    const { id } = await queue.add(null)
    await bench.settle()
    late = true
    const { service } = await bench.worker({ leaseMs: 10_000 })
    await bench.clock.advance(10_000)
    expect(bench.call(0).context.signal.aborted).toBe(true)
    expect(bench.call(0).context.signal.reason).toBeInstanceOf(LeaseLostError)
    await bench.clock.advance(5_000)
    await bench.call(1).finish('second')
    await bench.call(0).finish('first')
    await bench.clock.advance(120_000)
    expect(await service.findOne(id as string)).toMatchObject({
      state: 'COMPLETED',
      result: 'second',
    })
    expect(warn).toHaveBeenCalledWith(expect.stringContaining('lease was lost'), expect.anything())
  })

  test('a job that lapses too often has failed, and its last holder is told that it lost it', async () => {
    const bench = new Workbench()
    const warn = vi.fn()
    const logger = { debug() {}, info() {}, warn, error() {} }
    const dying = [cutOff(bench), cutOff(bench)]
    const first = await bench.worker({ storage: dying[0]?.store, leaseMs: 1_000, maxLapses: 1 })
    const { id } = await first.queue.add(null)
    await bench.settle()
    dying[0]?.cut()
    await bench.worker({ storage: dying[1]?.store, leaseMs: 1_000, maxLapses: 1, logger })
    await bench.clock.advance(6_000)
    expect(bench.calls).toHaveLength(2)
    // It hangs for a while, long enough for its lease, and then goes on as if nothing had been.
    const { service } = await bench.worker({ leaseMs: 1_000, maxLapses: 1 })
    const { store } = bench
    const commit = store.commit.bind(store)
    store.commit = () => Promise.reject(new Error('unreachable'))
    await bench.clock.advance(1_000)
    store.commit = commit
    await bench.clock.advance(6_000)
    expect(await service.findOne(id as string)).toMatchObject({
      state: 'FAILED',
      error: expect.stringContaining('Stalled'),
      attempts: 1,
    })
    await bench.call(1).finish('too late')
    await bench.clock.advance(60_000)
    expect(await service.findOne(id as string)).toMatchObject({ state: 'FAILED' })
    expect(bench.calls).toHaveLength(2)
    expect(warn).toHaveBeenCalledWith(expect.stringContaining('lease was lost'), expect.anything())
  })

  test('one timer renews every lease, a third into it', async () => {
    const bench = new Workbench()
    const { queue } = await bench.worker({ leaseMs: 9_000, concurrency: 5 })
    await queue.addMany(Array.from({ length: 5 }, (_, i) => ({ data: i })))
    await bench.settle()
    expect(bench.calls).toHaveLength(5)
    const setTimeout = vi.spyOn(bench.clock, 'setTimeout')
    const writes = bench.store.operations().writes
    await bench.clock.advance(3_000)
    expect(bench.store.operations().writes - writes).toBe(5)
    // One for the next renewal; the worker's own sleep is longer than this.
    expect(setTimeout.mock.calls.length).toBeLessThanOrEqual(2)
    await bench.clock.advance(60_000)
    expect(bench.calls.every(({ context }) => !context.signal.aborted)).toBe(true)
  })

  test('a lease is renewed though progress is on its way when its time comes', async () => {
    const bench = new Workbench()
    const { queue } = await bench.worker({ leaseMs: 9_000 })
    await queue.add(null)
    await bench.settle()
    const { commit } = bench.store
    bench.store.commit = async (...request) => {
      await new Promise<void>((resolve) => void bench.clock.setTimeout(resolve, 50))
      return commit.apply(bench.store, request)
    }
    await bench.clock.advance(2_980)
    bench.call(0).job.setProgress(50)
    await bench.clock.advance(20_000)
    expect([bench.calls.length, bench.call(0).context.signal.aborted]).toEqual([1, false])
  })

  test('a lease that a wrong clock wrote a year ahead is taken over', async () => {
    const bench = new Workbench()
    const service = bench.service()
    const queue = await service.createQueue({ name: 'work' })
    const { id } = await queue.add(null)
    const key = jobKey(id as string)
    const { got } = await bench.store.read({ get: [key] })
    const yearAhead = bench.clock.now() + 365 * 86_400_000
    await bench.store.commit([
      [
        {
          key,
          expect: got[0]?.version ?? '',
          place: 'l/lease/work',
          score: yearAhead,
          stamp: `owner ${yearAhead} 30000 0`,
        },
      ],
    ])
    await bench.worker()
    await bench.clock.advance(11 * 30_000)
    expect(bench.calls).toHaveLength(1)
  })

  test('changes of one claim wait for each other: none is ever refused for another', async () => {
    const bench = new Workbench()
    const { queue } = await bench.worker({ leaseMs: 3_000 })
    await queue.add(null)
    await bench.settle()
    const { store } = bench
    const results: (string | null)[] = []
    const commit = store.commit.bind(store)
    store.commit = async (units, hint) => {
      await new Promise<void>((resolve) => void bench.clock.setTimeout(resolve, 5))
      const versions = await commit(units, hint)
      results.push(...versions)
      return versions
    }
    for (let i = 1; i <= 20; i++) {
      bench.call(0).job.setProgress(i)
      await bench.clock.advance(500)
    }
    bench.call(0).job.setProgress(99)
    await bench.call(0).finish()
    await bench.clock.advance(100)
    expect(results.length).toBeGreaterThan(15)
    expect(results).not.toContain(null)
  })
})

describe('wake-ups', () => {
  test('a job that another process adds starts at once', async () => {
    const bench = new Workbench()
    await bench.worker()
    const other = await bench.service().createQueue({ name: 'work' })
    await other.add(1)
    await bench.settle()
    expect(bench.calls).toHaveLength(1)
  })

  test('one that is lost costs at most five seconds', async () => {
    const bench = new Workbench()
    bench.store.subscribe = () => () => {}
    await bench.worker()
    const other = await bench.service().createQueue({ name: 'work' })
    await other.add(1)
    await bench.settle()
    expect(bench.calls).toHaveLength(0)
    await bench.clock.advance(5_000)
    expect(bench.calls).toHaveLength(1)
  })

  test('where the store tells of nothing, it is asked each pollInterval', async () => {
    const bench = new Workbench()
    Object.defineProperty(bench.store, 'subscribe', { value: undefined })
    await bench.worker({ pollInterval: 300 })
    const other = await bench.service().createQueue({ name: 'work' })
    await other.add(1)
    await bench.clock.advance(300)
    expect(bench.calls).toHaveLength(1)
  })
})

test('nothing happens until it is asked: no store call, no timer, no randomness, no AbortController', async () => {
  const bench = new Workbench()
  const random = vi.fn(() => 0.5)
  const clock = {
    now: vi.fn(() => 0),
    monotonic: vi.fn(() => 0),
    setTimeout: vi.fn(),
    clearTimeout: vi.fn(),
  }
  const commit = vi.spyOn(bench.store, 'commit')
  const read = vi.spyOn(bench.store, 'read')
  const abort = vi.spyOn(globalThis, 'AbortController')
  const service = new JobQueueService({ storage: bench.store, clock, random })
  const queue = await service.createQueue({ name: 'work', process: (job: Job) => job.data })
  service.attach({ onAdd: () => {}, resident: false })
  expect(queue.started).toBe(false)
  for (const spy of [random, clock.setTimeout, clock.now, commit, read, abort])
    expect(spy).not.toHaveBeenCalled()
  abort.mockRestore()
})
