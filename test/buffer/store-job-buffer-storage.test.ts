import { describe, expect, test } from 'vitest'
import { StoreJobBufferStorageStrategy } from '../../src/buffer/store-job-buffer-storage.ts'
import { Job, KvJobQueueStrategy, type Store, silentLogger } from '../../src/main.ts'
import { seededRandom } from '../../src/testing/main.ts'
import { Shaky, SIZES } from '../support/shaky-store.ts'
import { Workbench } from '../support/workbench.ts'

const DOZEN = Array.from({ length: 12 }, (_, i) => i)

let processes = 0

/** Each is a process of its own. */
function open(bench: Workbench, storage: Store = bench.store): StoreJobBufferStorageStrategy {
  const { clock } = bench
  const random = seededRandom(++processes)
  const strategy = new KvJobQueueStrategy({ storage, clock, random, logger: silentLogger })
  return new StoreJobBufferStorageStrategy(strategy, silentLogger)
}

async function fill(storage: StoreJobBufferStorageStrategy): Promise<void> {
  for (const data of DOZEN) await storage.add('index', new Job({ queueName: 'work', data }))
}

const numbers = (flushed: Record<string, Job[]>): number[] =>
  Object.values(flushed).flatMap((jobs) => jobs.map(({ data }) => data))

describe('§2.4 a buffer storage on a store', () => {
  test('gives what it was given, the oldest first, and nothing twice', async () => {
    const storage = open(new Workbench())
    const [retries, createdAt] = [3, new Date(5)]
    await storage.add('index', new Job({ queueName: 'work', data: new Map([[1, 2]]), retries }))
    await storage.add('index', new Job({ queueName: 'mail', data: 'b', createdAt }))
    expect(await storage.bufferSize(['index', 'none'])).toEqual({ index: 2, none: 0 })
    const { index, none } = await storage.flush(['index', 'none'])
    expect(index).toHaveLength(2)
    expect([index?.[0]?.data, index?.[0]?.retries]).toEqual([new Map([[1, 2]]), 3])
    expect([index?.[1]?.queueName, index?.[1]?.createdAt]).toEqual(['mail', createdAt])
    expect([none, await storage.bufferSize(['index'])]).toEqual([[], { index: 0 }])
    expect(await storage.flush(['index'])).toEqual({ index: [] })
  })

  test('no ids, or none named, are all that were ever added to, by any process', async () => {
    const bench = new Workbench()
    for (const id of ['b', 'ä / b', 'b'])
      await open(bench).add(id, new Job({ queueName: 'work', data: id }))
    expect(await open(bench).bufferSize()).toEqual({ b: 2, 'ä / b': 1 })
    expect(numbers(await open(bench).flush([]))).toEqual(['b', 'b', 'ä / b'])
    expect(await open(bench).bufferSize([])).toEqual({ b: 0, 'ä / b': 0 })
  })
})

describe.each(SIZES)('with %s', (_name, limits) => {
  test('four that flush while others add are never given the same job', async () => {
    const bench = new Workbench()
    await fill(open(bench))
    const rivals = [0, 1, 2, 3].map(() => open(bench, new Shaky(bench.store, limits).store))
    const flushes = rivals.map((rival) => rival.flush(['index']))
    const adds = rivals.map((rival, i) =>
      rival.add('index', new Job({ queueName: 'work', data: 100 + i })),
    )
    const [flushed] = await bench.clock.until(
      Promise.all([Promise.all(flushes), Promise.all(adds)]),
    )
    const out = [...flushed, await open(bench).flush(['index'])].flatMap(numbers)
    expect(out.sort((a, b) => a - b)).toEqual([...DOZEN, 100, 101, 102, 103])
  })

  test.each([
    ['before it is done', false],
    ['after it was done', true],
  ])('each job comes out once, whichever commit of a flush fails %s', async (_when, applied) => {
    for (let failing = 1; ; failing++) {
      const bench = new Workbench()
      await fill(open(bench))
      const shaky = new Shaky(bench.store, limits)
      const storage = open(bench, shaky.store)
      await storage.bufferSize()
      Object.assign(shaky, { failing: shaky.calls + failing, applied })
      const out = numbers(await bench.clock.until(storage.flush(['index'])))
      expect([failing, out]).toEqual([failing, DOZEN])
      expect(await storage.bufferSize()).toEqual({ index: 0 })
      if (shaky.calls < shaky.failing) break
    }
  })
})
