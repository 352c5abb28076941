import { describe, expect, test } from 'vitest'
import { createMemoryStore, type Job, JobState } from '../../src/main.ts'
import { seededRandom } from '../../src/testing/main.ts'
import { Workbench } from '../support/workbench.ts'
import { takingStore } from '../simulation/taking-store.ts'

const FIVE_AHEAD = 5_000

describe('review', () => {
  test('D1 waits no longer for a slot because another queue is busy', async () => {
    const bench = new Workbench()
    const service = bench.service({ claimAheadMs: FIVE_AHEAD, leaseMs: 1_000 })
    const queue = await service.createQueue({ name: 'work', process: bench.manual })
    const busy = await service.createQueue({
      name: 'busy',
      process: async () => {},
    })
    await service.start()
    await queue.addMany([{ data: 'a' }, { data: 'b' }])
    await bench.settle()
    for (let i = 0; i < 10; i++) {
      await bench.clock.advance(10)
      await busy.add(i)
    }
    const states = (await service.findMany({ filter: { queueName: { eq: 'work' } } })).items.map(
      (job) => [job.data, job.state],
    )
    expect(new Map(states as [])).toEqual(new Map([['a', 'RUNNING'], ['b', 'PENDING']]))
  })

  test('D1b ends as stalled without having run', async () => {
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
    }
    const b = (await service.findMany()).items.find((job) => job.data === 'b')
    expect([b?.state, b?.error]).toEqual(['PENDING', undefined])
  })

  test('D2 a drain that found nothing leaves no worker asleep', async () => {
    const bench = new Workbench()
    // a read that lasts
    const { store } = bench
    let slow = false
    const slowStore = {
      name: store.name, guarantee: store.guarantee, clock: store.clock, limits: store.limits,
      read: async (query: any) => {
        const answer = await store.read(query)
        if (slow) await new Promise<void>((r) => bench.clock.setTimeout(r, 20))
        return answer
      },
      commit: (u: any, h: any) => store.commit(u, h),
      subscribe: store.subscribe?.bind(store),
      operations: () => store.operations(),
      close: () => store.close(),
    } as any
    const { service, queue } = await bench.worker({ storage: slowStore })
    await bench.clock.advance(100)
    slow = true
    const draining = service.drain()
    await bench.clock.advance(5)
    slow = false
    await queue.add('a')
    await bench.clock.advance(200)
    await draining
    expect(bench.calls).toHaveLength(1)
  })

  test('D3 a drain takes no job for which there is no slot', async () => {
    const bench = new Workbench()
    const service = bench.service()
    await service.createQueue({ name: 'one', process: bench.manual })
    const two = await service.createQueue({ name: 'two', process: bench.manual })
    await two.addMany([{ data: 'a' }, { data: 'b' }])
    const first = service.drain({ maxJobs: 1 })
    const second = service.drain({ maxJobs: 1 })
    await bench.settle()
    console.log(bench.calls.map((c) => c.job.data))
    const { totalItems } = await service.findMany({ filter: { state: { eq: JobState.RUNNING } } })
    expect(totalItems).toBe(1)
    await bench.call(0).finish()
    const reports = await Promise.race([Promise.all([first, second]), bench.clock.advance(100)])
    console.log(reports)
  })

  test('D4 gives back in time', async () => {
    const bench = new Workbench()
    let ms = 1
    const service = bench.service({ leaseMs: 100, claimAheadMs: FIVE_AHEAD, maxLapses: 0 })
    const queue = await service.createQueue({
      name: 'work',
      process: () => new Promise<void>((resolve) => bench.clock.setTimeout(resolve, ms)),
    })
    await service.start()
    await queue.addMany(Array.from({ length: 200 }, (_, data) => ({ data })))
    for (let i = 0; i < 100; i++) await bench.clock.advance(1)
    ms = 40
    await queue.addMany(Array.from({ length: 200 }, (_, data) => ({ data })))
    const other = bench.service({ leaseMs: 100, claimAheadMs: 0, maxLapses: 0 })
    await other.createQueue({
      name: 'work',
      process: () => new Promise<void>((resolve) => bench.clock.setTimeout(resolve, ms)),
    })
    await other.start()
    for (let i = 0; i < 1000; i++) await bench.clock.advance(20)
    const { items } = await service.findMany({ take: 1000 })
    const by: Record<string, number> = {}
    for (const job of items) by[job.state] = (by[job.state] ?? 0) + 1
    expect(by).toEqual({ COMPLETED: 400 })
  })

  test('D6 claimAheadMs without bound', async () => {
    const bench = new Workbench()
    const { queue } = await bench.worker({ claimAheadMs: Infinity })
    await queue.addMany(['a', 'b', 'c'].map((data) => ({ data })))
    await bench.clock.advance(100)
    await bench.call(0).finish()
    await bench.clock.advance(100)
    await bench.call(1).finish()
    await bench.clock.advance(100)
    expect(bench.calls).toHaveLength(3)
  })

  test('D7 store clock set back', async () => {
    const bench = new Workbench()
    const store = takingStore(createMemoryStore({ clock: bench.clock, random: seededRandom(7) }))
    let back = 0
    const shifted: any = { ...store, read: async (q: any) => { const a = await store.read(q); return { ...a, now: a.now - back } } }
    const service = bench.service({ storage: shifted, claimAheadMs: 0 })
    const seen: unknown[] = []
    const queue = await service.createQueue<string>({
      name: 'work',
      process: async ({ data }: Job<string>) => { seen.push(data); await new Promise<void>((r) => bench.clock.setTimeout(r, 5)) },
    })
    await service.start()
    await queue.addMany(Array.from({ length: 100 }, () => ({ data: 'x' })))
    await bench.clock.advance(100)
    back = 3_600_000
    await service.findMany()
    await queue.add('urgent', { delay: 100, priority: 10 })
    await queue.addMany(Array.from({ length: 200 }, () => ({ data: 'x' })))
    await bench.clock.advance(400)
    expect(seen).toContain('urgent')
  })

  test('D8 pause while a look is under way', async () => {
    const bench = new Workbench()
    const { store } = bench
    let slow = false
    const slowStore = {
      name: store.name, guarantee: store.guarantee, clock: store.clock, limits: store.limits,
      read: async (query: any) => store.read(query),
      commit: async (u: any, h: any) => {
        const answer = await store.commit(u, h)
        if (slow && u.some((unit: any) => unit.some((put: any) => put.place?.startsWith('l/lease')))) await new Promise<void>((r) => bench.clock.setTimeout(r, 10))
        return answer
      },
      subscribe: store.subscribe?.bind(store),
      operations: () => store.operations(),
      close: () => store.close(),
    } as any
    const { service, queue } = await bench.worker({ storage: slowStore, claimAheadMs: FIVE_AHEAD })
    await queue.addMany(['a'].map((data) => ({ data })))
    await bench.settle()
    slow = true
    await queue.addMany(['b', 'c'].map((data) => ({ data })))
    await bench.clock.advance(5)
    await bench.clock.until(queue.pause())
    await bench.call(0).finish()
    await bench.clock.advance(100)
    expect(bench.calls).toHaveLength(1)
  })
})
