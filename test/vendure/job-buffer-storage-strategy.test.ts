/** The buffer storage behind Vendure's port, without a server. */
import { Job } from '@vendure/core'
import { describe, expect, test } from 'vitest'
import { createMemoryStore, type Store } from '../../src/main.ts'
import { type Bench, openBench } from './bench.ts'

const make = (data: object, retries = 0): Job => new Job({ queueName: 'work', data, retries })

const open = (storage: Store, prefix = ''): Promise<Bench> =>
  openBench({ storage, buffers: ['index', 'mail'], config: { jobQueueOptions: { prefix } } })

describe('§2.4 JobBufferStorageStrategy', () => {
  test('gives jobs of Vendure’s class, the oldest first, which are new', async () => {
    await using bench = await open(createMemoryStore())
    const { buffers } = bench
    const first = make({ n: 1 }, 3)
    expect(await buffers.add('index', first)).toBe(first)
    await buffers.add('index', make({ n: 2 }))
    expect(await buffers.bufferSize(['index', 'none'])).toEqual({ index: 2, none: 0 })
    const { index = [] } = await buffers.flush(['index'])
    expect(index.every((job) => job instanceof Job)).toBe(true)
    expect(index.map(({ id, data, state }) => [id, data, state])).toEqual([
      [null, { n: 1 }, 'PENDING'],
      [null, { n: 2 }, 'PENDING'],
    ])
    expect([index[0]?.retries, index[0]?.createdAt]).toEqual([3, first.createdAt])
    // As Vendure's users reduce: the spread of a job is the config of another.
    const [one] = index as [Job]
    expect(new Job({ ...one, id: '', data: { n: 9 } })).toMatchObject({
      queueName: 'work',
      retries: 3,
    })
    expect(await buffers.flush(['index'])).toEqual({ index: [] })
  })

  test.each([
    ['no ids', undefined],
    ['none named', []],
  ])(
    '§7.16 %s are all that Vendure has a buffer for, and the others keep theirs',
    async (_why, ids) => {
      await using bench = await open(createMemoryStore())
      const { buffers } = bench
      for (const id of ['index', 'mail', 'removed']) await buffers.add(id, make({ id }))
      expect(await buffers.bufferSize(ids)).toEqual({ index: 1, mail: 1 })
      const flushed = await buffers.flush(ids)
      expect(Object.entries(flushed).map(([id, jobs]) => [id, jobs.length])).toEqual([
        ['index', 1],
        ['mail', 1],
      ])
      expect(await buffers.bufferSize(['index', 'removed'])).toEqual({ index: 0, removed: 1 })
    },
  )

  test('§7.16 of two servers that flush at once, each job goes to one', async () => {
    const store = createMemoryStore()
    await using one = await open(store)
    await using other = await open(store)
    for (let n = 0; n < 50; n++) await one.buffers.add('index', make({ n }))
    const flushes = await Promise.all([one, other].map(({ buffers }) => buffers.flush(['index'])))
    const numbers = flushes.flatMap(({ index = [] }) => index.map(({ data }) => data.n))
    expect(numbers.sort((a, b) => a - b)).toEqual(Array.from({ length: 50 }, (_, n) => n))
  })

  test('two shops in one store keep apart by their prefix', async () => {
    const store = createMemoryStore()
    await using one = await open(store, 'one.')
    await one.buffers.add('index', make({}))
    await using two = await open(store, 'two.')
    expect(await two.buffers.bufferSize(['index'])).toEqual({ index: 0 })
    expect(await two.buffers.flush()).toEqual({ index: [], mail: [] })
    expect(await one.buffers.bufferSize(['index'])).toEqual({ index: 1 })
  })
})
