import { describe, expect, test } from 'vitest'
import { type JobQueueService, JobState, type Store } from '../../src/main.ts'
import { cutOff, Workbench } from '../support/workbench.ts'

/** So much that a queue of which nothing is known claims five ahead for each slot. */
const FIVE_AHEAD = 5_000

const ITEMS = ['a', 'b', 'c', 'd'].map((data) => ({ data }))

async function stateOf(service: JobQueueService, data: string): Promise<string> {
  const { items } = await service.findMany()
  return items.find((job) => job.data === data)?.state ?? 'NONE'
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
    const first = await bench.worker({ ...options, storage: dying.store })
    await first.queue.add('poison')
    await bench.settle()
    dying.cut()
    await bench.clock.advance(500)
    const { service, queue } = await bench.worker(options)
    await queue.addMany(ITEMS)
    await bench.settle()
    await bench.call(1).finish()
    await bench.clock.advance(50)
    for (let call = 2; bench.calls.at(-1)?.job.data !== 'poison' && call < 9; call++) {
      await bench.call(call).finish()
      await bench.clock.advance(1_100)
    }
    await queue.addMany(ITEMS.map(({ data }) => ({ data: data + data })))
    await bench.settle()
    expect(bench.calls.at(-1)?.job.data).toBe('poison')
    expect(await Promise.all(['poison', 'aa', 'bb'].map((data) => stateOf(service, data)))).toEqual(
      ['RUNNING', 'PENDING', 'PENDING'],
    )
  })
})

test('what claimAheadMs cannot be is refused', () => {
  const bench = new Workbench()
  expect(() => bench.service({ storage: bench.store as Store, claimAheadMs: -1 })).toThrow(
    'claimAheadMs',
  )
})
