import { describe, expect, test } from 'vitest'
import { createMemoryStore, type JobQueueService, JobState, type Store } from '../../src/main.ts'
import { assertCommit } from '../../src/store/main.ts'
import { seededRandom } from '../../src/testing/main.ts'
import { takingStore } from '../simulation/taking-store.ts'
import { cutOff, Workbench } from '../support/workbench.ts'

/** So much that a queue of which nothing is known claims five ahead for each slot. */
const FIVE_AHEAD = 5_000

const ITEMS = ['a', 'b', 'c', 'd'].map((data) => ({ data }))

async function stateOf(service: JobQueueService, data: string): Promise<string> {
  const { items } = await service.findMany()
  return items.find((job) => job.data === data)?.state ?? 'NONE'
}

/** A view of the bench's store that takes its time over what it answers. */
function slowStore({ store, clock }: Workbench): { store: Store; ms: number } {
  const slow = { ms: 0, store }
  const late = async <T>(answer: T): Promise<T> => {
    if (slow.ms > 0) await new Promise<void>((resolve) => void clock.setTimeout(resolve, slow.ms))
    return answer
  }
  slow.store = {
    ...{ name: store.name, guarantee: store.guarantee, clock: store.clock, limits: store.limits },
    read: async (query) => late(await store.read(query)),
    commit: async (units, hint) => late(await store.commit(units, hint)),
    subscribe: (channel, hear) => store.subscribe?.(channel, hear) ?? (() => {}),
    operations: () => store.operations(),
    close: () => store.close(),
  }
  return slow
}

describe('a worker whose handlers are quick', () => {
  test.each([
    ['asks the store once for many jobs', {}, 120],
    ['asks for each when it must not claim ahead', { claimAheadMs: 0 }, 1_000],
  ])('%s, and runs them one after the other', async (_name, options, looks) => {
    const bench = new Workbench()
    let running = 0
    let most = 0
    const seen: number[] = []
    const service = bench.service({ storage: bench.store, ...options })
    const queue = await service.createQueue<number>({
      name: 'work',
      process: async ({ data }) => {
        most = Math.max(most, ++running)
        await null
        seen.push(data)
        running--
      },
    })
    await queue.addMany(Array.from({ length: 500 }, (_, data) => ({ data })))
    const before = bench.store.operations().lists
    await service.start()
    await bench.clock.advance(60_000)
    expect(seen).toEqual(Array.from({ length: 500 }, (_, i) => i))
    expect(most).toBe(1)
    // A look reads eight lists; the idle minute has some looks of its own.
    const asked = (bench.store.operations().lists - before) / 8
    if (looks > 500) expect(asked).toBeGreaterThan(500)
    else expect(asked).toBeLessThan(looks + 30)
  })

  test('gives back what waits longer than it should, as if nothing had happened', async () => {
    const bench = new Workbench()
    const { service, queue } = await bench.worker({ claimAheadMs: FIVE_AHEAD })
    await queue.addMany(ITEMS)
    await bench.settle()
    expect(await service.findMany({ filter: { state: { eq: JobState.RUNNING } } })).toMatchObject({
      totalItems: 4,
    })
    expect(bench.calls).toHaveLength(1)
    await bench.worker({ concurrency: 5, claimAheadMs: 0 })
    await bench.clock.advance(40)
    expect(bench.calls).toHaveLength(1)
    await bench.clock.advance(20)
    expect(bench.calls.map(({ job }) => job.data)).toEqual(['a', 'b', 'c', 'd'])
    expect(bench.calls.map(({ job }) => [job.attempts, job.state])).toEqual(
      ITEMS.map(() => [1, 'RUNNING']),
    )
    for (const call of bench.calls) await call.finish()
    await bench.clock.advance(60_000)
    expect(bench.calls).toHaveLength(4)
    expect(await service.findMany({ filter: { state: { eq: JobState.COMPLETED } } })).toMatchObject(
      { totalItems: 4 },
    )
  })

  test('claims no further ahead once a handler takes long', async () => {
    const bench = new Workbench()
    const { service, queue } = await bench.worker({ claimAheadMs: FIVE_AHEAD })
    await queue.add('long')
    await bench.settle()
    await bench.clock.advance(10_000)
    await bench.call(0).finish()
    await queue.addMany(ITEMS)
    await bench.settle()
    expect(await Promise.all(['a', 'b', 'c', 'd'].map((data) => stateOf(service, data)))).toEqual([
      'RUNNING',
      'PENDING',
      'PENDING',
      'PENDING',
    ])
  })

  test('does not begin what is cancelled, paused or stopped while it waits', async () => {
    const bench = new Workbench()
    const { service, queue } = await bench.worker({ claimAheadMs: FIVE_AHEAD })
    await queue.addMany(ITEMS)
    await bench.settle()
    const b = (await service.findMany()).items.find(({ data }) => data === 'b')
    await service.cancelJob(b?.id as string)
    await bench.call(0).finish()
    expect(bench.calls.map(({ job }) => job.data)).toEqual(['a', 'c'])
    expect(await stateOf(service, 'b')).toBe('CANCELLED')
    await queue.pause()
    await bench.call(1).finish()
    expect(bench.calls).toHaveLength(2)
    expect(await stateOf(service, 'd')).toBe('PENDING')
    await queue.resume()
    await queue.add('e')
    await bench.clock.advance(100)
    expect(bench.calls.map(({ job }) => job.data)).toEqual(['a', 'c', 'd'])
    const stopping = service.stop()
    await bench.settle()
    await bench.call(2).finish()
    await bench.clock.until(stopping)
    expect(bench.calls).toHaveLength(3)
    expect(await stateOf(service, 'e')).toBe('PENDING')
  })

  test('has nothing wait behind a job whose worker has vanished before', async () => {
    const bench = new Workbench()
    const options = { leaseMs: 1_000, claimAheadMs: FIVE_AHEAD }
    const dying = cutOff(bench)
    const { queue } = await bench.worker({ ...options, storage: dying.store })
    await queue.add('poison')
    await bench.settle()
    dying.cut()
    await bench.clock.advance(1_100)
    const adder = bench.service()
    await (await adder.createQueue({ name: 'work' })).addMany(ITEMS)
    const { service } = await bench.worker(options)
    const states = () => Promise.all(['poison', 'a', 'b'].map((data) => stateOf(service, data)))
    expect(await states()).toEqual(['RUNNING', 'PENDING', 'PENDING'])
    await bench.clock.advance(500)
    expect(await states()).toEqual(['RUNNING', 'PENDING', 'PENDING'])
    await bench.call(1).finish()
    await bench.settle()
    expect((await states()).slice(1)).toEqual(['RUNNING', 'RUNNING'])
  })

  test('gives back in time though another queue is busy', async () => {
    const bench = new Workbench()
    const service = bench.service({ claimAheadMs: FIVE_AHEAD, leaseMs: 1_000 })
    const queue = await service.createQueue({ name: 'work', process: bench.manual })
    const busy = await service.createQueue({ name: 'busy', process: async () => {} })
    await service.start()
    await queue.addMany([{ data: 'a' }, { data: 'b' }])
    await bench.settle()
    for (let i = 0; i < 400; i++) {
      await bench.clock.advance(20)
      await busy.add(i)
      if (i === 5) expect(await stateOf(service, 'b')).toBe('PENDING')
    }
    expect([await stateOf(service, 'a'), await stateOf(service, 'b')]).toEqual([
      'RUNNING',
      'PENDING',
    ])
  })

  test('gives back before a short lease ends, so that nothing lapses', async () => {
    const bench = new Workbench()
    let ms = 1
    const process = (): Promise<void> =>
      new Promise((resolve) => void bench.clock.setTimeout(resolve, ms))
    const items = Array.from({ length: 200 }, (_, data) => ({ data }))
    const service = bench.service({ leaseMs: 100, claimAheadMs: FIVE_AHEAD, maxLapses: 0 })
    const queue = await service.createQueue({ name: 'work', process })
    await service.start()
    await queue.addMany(items)
    await bench.clock.advance(100)
    ms = 40
    await queue.addMany(items)
    const other = bench.service({ leaseMs: 100, claimAheadMs: 0, maxLapses: 0 })
    await other.createQueue({ name: 'work', process })
    await other.start()
    await bench.clock.advance(20_000)
    const { totalItems } = await service.findMany({ filter: { state: { eq: JobState.COMPLETED } } })
    expect(totalItems).toBe(400)
  })

  test('takes what claimAheadMs says for no bound as none', async () => {
    const bench = new Workbench()
    const { queue } = await bench.worker({ claimAheadMs: Infinity })
    await queue.addMany(ITEMS)
    for (let call = 0; call < ITEMS.length; call++) {
      await bench.clock.advance(100)
      await bench.call(call).finish()
    }
    expect(bench.calls).toHaveLength(ITEMS.length)
  })

  test('begins nothing of a queue that was paused while its claim was on its way', async () => {
    const bench = new Workbench()
    const slow = slowStore(bench)
    const { queue } = await bench.worker({ storage: slow.store, claimAheadMs: FIVE_AHEAD })
    await queue.add('a')
    await bench.settle()
    slow.ms = 10
    const adding = queue.addMany([{ data: 'b' }, { data: 'c' }])
    await bench.clock.advance(15)
    await adding
    await bench.clock.until(queue.pause())
    await bench.call(0).finish()
    await bench.clock.advance(100)
    expect(bench.calls).toHaveLength(1)
  })

  test('is not left asleep by a drain that held its slot for nothing', async () => {
    const bench = new Workbench()
    const slow = slowStore(bench)
    const { service, queue } = await bench.worker({ storage: slow.store })
    await bench.clock.advance(100)
    slow.ms = 20
    const draining = service.drain()
    await bench.clock.advance(5)
    slow.ms = 0
    await queue.add('a')
    await bench.clock.advance(200)
    await draining
    expect(bench.calls).toHaveLength(1)
  })
})

test('two drains of one slot take one job', async () => {
  const bench = new Workbench()
  const service = bench.service()
  await service.createQueue({ name: 'one', process: bench.manual })
  const two = await service.createQueue({ name: 'two', process: bench.manual })
  await two.addMany([{ data: 'a' }, { data: 'b' }])
  const drains = [service.drain({ maxJobs: 1 }), service.drain({ maxJobs: 1 })]
  await bench.settle()
  expect((await service.findMany({ filter: { state: { eq: JobState.RUNNING } } })).totalItems).toBe(
    1,
  )
  await bench.call(0).finish()
  await bench.clock.advance(100)
  while (bench.calls.length > 1) await bench.calls.pop()?.finish()
  await bench.clock.until(Promise.all(drains))
})

test.each([
  ['', 0],
  [' whose clock was set back', 3_600_000],
])('a busy queue of a store%s is looked at for what has fallen due', async (_name, back) => {
  const bench = new Workbench()
  const store = takingStore(createMemoryStore({ clock: bench.clock, random: seededRandom(7) }))
  let behind = 0
  const shifted: Store = {
    ...store,
    read: async (query) => {
      const answer = await store.read(query)
      return { ...answer, now: answer.now - behind }
    },
  }
  const service = bench.service({ storage: shifted, claimAheadMs: 0 })
  const seen: unknown[] = []
  const queue = await service.createQueue<string>({
    name: 'work',
    process: async ({ data }) => {
      seen.push(data)
      await new Promise<void>((resolve) => void bench.clock.setTimeout(resolve, 5))
    },
  })
  const fill = Array.from({ length: 200 }, () => ({ data: 'x' }))
  await service.start()
  await queue.addMany(fill)
  await bench.clock.advance(100)
  behind = back
  await service.findMany()
  await queue.add('urgent', { delay: 100, priority: 10 })
  await queue.addMany(fill)
  await bench.clock.advance(400)
  expect(seen).toContain('urgent')
})

test('a job that the store refuses takes no other with it', async () => {
  const bench = new Workbench()
  const { store } = bench
  const limits = { ...store.limits, unitBytes: 2_000 }
  const strict: Store = {
    ...slowStore(bench).store,
    limits: { ...limits, batchUnits: 10 },
    commit: async (units, hint) => {
      assertCommit(units, limits)
      return store.commit(units, hint)
    },
  }
  const service = bench.service({ storage: strict })
  const queue = await service.createQueue<string>({ name: 'work' })
  const added = await Promise.allSettled(
    ['a', 'b'.repeat(5_000), 'c'].map((data) => queue.add(data)),
  )
  expect(added.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
  expect((await service.findMany()).items.map(({ data }) => data).sort()).toEqual(['a', 'c'])
})

test('what claimAheadMs cannot be is refused', () => {
  const bench = new Workbench()
  expect(() => bench.service({ storage: bench.store as Store, claimAheadMs: -1 })).toThrow(
    'claimAheadMs',
  )
})
