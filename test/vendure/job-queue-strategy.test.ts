/** The strategy behind Vendure's port, without a server. */
import { AutoIncrementIdStrategy, type ID, Job, UuidIdStrategy } from '@vendure/core'
import { describe, expect, test } from 'vitest'
import { cleanJobsTask } from '../../adapters/vendure/clean-jobs-task.ts'
import { numericIds } from '../../adapters/vendure/job-ids.ts'
import { jobSignal } from '../../adapters/vendure/main.ts'
import { withoutRequests } from '../../adapters/vendure/request-context.ts'
import { createMemoryStore, WherryError } from '../../src/main.ts'
import { type Bench, openBench } from './bench.ts'
import { until } from './processes.ts'

// What shops hand over is not always what Vendure's types want.
const make = (data: unknown = {}, retries = 0): Job =>
  new Job({ queueName: 'work', data: data as object, retries })

/** The handler's promise decides; answers the job when it is settled. */
async function settled({ queue }: Bench, id: ID | null): Promise<Job> {
  return until('the job to be settled', async () => {
    const job = await queue.findOne(id as ID)
    return job?.isSettled ? job : undefined
  })
}

describe.each([
  { kind: 'numbers', entityIdStrategy: new AutoIncrementIdStrategy(), type: 'number' },
  { kind: 'uuids', entityIdStrategy: new UuidIdStrategy(), type: 'string' },
])('where ids are $kind', ({ entityIdStrategy, type }) => {
  const config = { entityOptions: { entityIdStrategy } }

  test('a job is found by its id, as it is and as the API decodes it', async () => {
    await using bench = await openBench({ config })
    const { queue } = bench
    const { id } = await queue.add(make('a'))
    expect(typeof id).toBe(type)
    const encoded = entityIdStrategy.encodeId(id as never)
    const decoded = entityIdStrategy.decodeId(encoded)
    expect(decoded).toBe(id)
    for (const one of [id as ID, encoded]) {
      expect(await queue.findOne(one)).toMatchObject({ id, queueName: 'work' })
      expect((await queue.findManyById([one, decoded])).map((job) => job.id)).toEqual([id, id])
      const filter = { id: { in: [String(one)] } }
      expect((await queue.findMany({ filter })).totalItems).toBe(1)
    }
    expect((await queue.cancelJob(id as ID))?.state).toBe('CANCELLED')
  })

  test.each([-1, 0, 'none', '', 'no id, at all', Number.NaN])(
    'there is none of id %j',
    async (id) => {
      await using bench = await openBench({ config })
      const { queue } = bench
      expect([await queue.findOne(id), await queue.cancelJob(id)]).toEqual([undefined, undefined])
      expect(await queue.findManyById([id])).toEqual([])
    },
  )
})

describe('ids that are numbers', () => {
  const YEAR_MS = 366 * 86_400_000
  const at = (ms: number, chance = 0.5) =>
    numericIds(
      () => ms,
      () => chance,
      '',
    )

  test('grow with time, and within a millisecond', () => {
    const now = Date.UTC(2026, 0, 1)
    const { newId, shown } = at(now)
    const ids = [newId?.(), newId?.(), newId?.()].map((id) => shown(id as string) as number)
    expect([...ids].sort((a, b) => a - b)).toEqual(ids)
    expect(new Set(ids).size).toBe(3)
    const later = Number(at(now + 1, 0).newId?.())
    expect(later).toBeGreaterThan(ids[0] as number)
  })

  test.each([2020, 2026, 2080])('are safe integers of sixteen digits in %d', (year) => {
    const ms = Date.UTC(year, 0, 1)
    const ids = [
      at(ms, 0).newId?.(),
      at(ms, 0.999_999).newId?.(),
      at(ms).runId?.('task', new Date(ms)),
    ]
    for (const id of ids) {
      expect(id).toMatch(/^\d{16}$/)
      expect(Number.isSafeInteger(Number(id))).toBe(true)
    }
  })

  test('of an occurrence are the same for all who tick, and those of no job', () => {
    const first = new Date(Date.UTC(2026, 0, 1))
    const ids = ['a', 'b'].flatMap((task) =>
      [0, 1_000, YEAR_MS].map((ms) => at(0).runId?.(task, new Date(first.getTime() + ms))),
    )
    expect(new Set(ids).size).toBe(6)
    expect(ids[0]).toBe(at(99).runId?.('a', first))
    expect(ids.every((id) => Number(id) % 2 === 1)).toBe(true)
    expect(Number(at(first.getTime(), 0.999_9).newId?.()) % 2).toBe(0)
    expect(
      numericIds(
        () => 0,
        () => 0,
        'shop',
      ).runId?.('a', first),
    ).not.toBe(ids[0])
  })
})

const SERIALISED = {
  _apiType: 'admin',
  _channel: { id: 1, token: 'channel-token' },
  _languageCode: 'en',
  _isAuthorized: true,
  _req: { rawHeaders: ['Authorization', 'Bearer secret'] },
  _session: { id: 5, token: 'secret', user: { id: 2 } },
}

describe('the request in a job', () => {
  const pruned = { ...SERIALISED, _session: { id: 5, token: '', user: { id: 2 } } } as Record<
    string,
    unknown
  >
  delete pruned['_req']

  test.each<[why: string, data: unknown, kept: unknown]>([
    ['as the indexer has it', { ctx: SERIALISED, ids: [1] }, { ctx: pruned, ids: [1] }],
    ['under a name of one’s own', { context: SERIALISED }, { context: pruned }],
    ['deep in the data', { a: [{ b: SERIALISED }] }, { a: [{ b: pruned }] }],
    ['as the data itself', SERIALISED, pruned],
    [
      'when it was not serialised',
      { ctx: { ...SERIALISED, req: SERIALISED._req, session: SERIALISED._session } },
      { ctx: { ...pruned, session: pruned['_session'] } },
    ],
    [
      'of nobody',
      { ctx: { ...SERIALISED, _session: null } },
      { ctx: { ...pruned, _session: null } },
    ],
  ])('is left out %s', (_why, data, kept) => {
    expect(withoutRequests(data)).toEqual(kept)
    expect(JSON.stringify(withoutRequests(data))).not.toContain('secret')
  })

  test.each<[why: string, data: unknown]>([
    ['a text', 'secret'],
    ['nothing', undefined],
    ['null', null],
    ['a small context of another kind', { ctx: { languageCode: 'en', channelToken: 'x' } }],
    ['a date', { at: new Date(0) }],
  ])('%s is left as it is', (_why, data) => {
    expect(withoutRequests(data)).toBe(data)
  })

  test('a cycle is no loop', () => {
    const data: Record<string, unknown> = { ctx: SERIALISED }
    data['self'] = data
    expect(withoutRequests(data)).toMatchObject({ ctx: pruned })
  })

  test.each([
    [undefined, false],
    [false, false],
    [true, true],
  ])('with keepRequest: %s, in a queue and in a buffer', async (keepRequest, isKept) => {
    const store = createMemoryStore()
    await using bench = await openBench({ storage: store, keepRequest })
    const job = await bench.queue.add(make({ ctx: SERIALISED }))
    // Whoever added it still has it.
    expect(JSON.stringify(job.data)).toContain('secret')
    await bench.buffers.add('index', make({ ctx: SERIALISED }))
    const range = { limit: 100 }
    const parts = ['data', 'job']
    const { ranges } = await store.read({
      ranges: [
        { ...range, prefix: 'u/' },
        { ...range, place: 'k/buffered/index' },
      ],
    })
    const get = ranges.flat().map(({ key }) => key)
    const { got } = await store.read({ get, parts })
    expect(got).toHaveLength(2)
    for (const record of got) {
      const text = JSON.stringify(record)
      expect(text).toContain('channel-token')
      expect(text.includes('secret')).toBe(isKept)
    }
  })
})

describe('a handler', () => {
  test('is given a live job of Vendure’s own class', async () => {
    await using bench = await openBench()
    const { queue } = bench
    const seen: unknown[] = []
    await queue.start('work', async (job) => {
      seen.push(job instanceof Job, job.state, job.attempts, job.id, job.data)
      job.setProgress(30)
      return 'done'
    })
    const { id } = await queue.add(make({ n: 1n, gone: undefined }))
    const job = await settled(bench, id)
    expect(seen).toEqual([true, 'RUNNING', 1, id, { n: 1n, gone: undefined }])
    expect([job instanceof Job, job.state, job.progress, job.result]).toEqual([
      true,
      'COMPLETED',
      100,
      'done',
    ])
  })

  test('sees its job cancelled, and its signal aborts', async () => {
    await using bench = await openBench()
    const { queue } = bench
    const seen = Promise.withResolvers<unknown>()
    await queue.start('work', async (job) => {
      await new Promise((resolve) => jobSignal()?.addEventListener('abort', resolve))
      seen.resolve([job.state, jobSignal()?.reason.code])
    })
    const { id } = await queue.add(make(null, 3))
    await until('it to run', async () =>
      (await queue.findOne(id as ID))?.state === 'RUNNING' ? true : undefined,
    )
    await queue.cancelJob(id as ID)
    expect(await seen.promise).toEqual(['CANCELLED', 'job-cancelled'])
    expect((await settled(bench, id)).state).toBe('CANCELLED')
    expect(jobSignal()).toBeUndefined()
  })

  test('of a job that ran into its timeout sees it cancelled, and the job has failed', async () => {
    await using bench = await openBench({ setJobOptions: () => ({ timeout: 50 }) })
    await bench.queue.start('work', async (job) => {
      await until('the end', () => (job.state === 'CANCELLED' ? true : undefined))
      return 'too late'
    })
    const { id } = await bench.queue.add(make())
    expect(await settled(bench, id)).toMatchObject({
      state: 'FAILED',
      error: 'Timed out after 50 ms',
      result: undefined,
    })
  })

  test('of a worker that stops does not see it cancelled, or it would be done by halves', async () => {
    await using bench = await openBench({ gracefulShutdownTimeout: 50 })
    const { queue } = bench
    const states: string[] = []
    await queue.start('work', async (job) => {
      await new Promise((resolve) => jobSignal()?.addEventListener('abort', resolve))
      states.push(job.state)
      throw new Error('stopped')
    })
    const { id } = await queue.add(make())
    await until('it to run', async () =>
      (await queue.findOne(id as ID))?.state === 'RUNNING' ? true : undefined,
    )
    await queue.stop('work')
    expect(states).toEqual(['RUNNING'])
    expect(await queue.findOne(id as ID)).toMatchObject({ state: 'PENDING', attempts: 0 })
  })

  test('that gives back its job cancelled has cancelled it', async () => {
    await using bench = await openBench()
    await bench.queue.start('work', async (job) => {
      job.cancel()
      return job
    })
    const { id } = await bench.queue.add(make(null, 2))
    expect(await settled(bench, id)).toMatchObject({ state: 'CANCELLED', result: undefined })
  })

  test('that throws is tried again, with Vendure’s jobs in the callbacks', async () => {
    const backoffs: unknown[] = []
    await using bench = await openBench({
      setRetries: (queueName, job) => (queueName === 'work' && job instanceof Job ? 2 : 0),
      backoffStrategy: (queueName, attempts, job) => {
        backoffs.push([queueName, attempts, job instanceof Job])
        return 1
      },
    })
    await bench.queue.start('work', async () => {
      throw new Error('no')
    })
    const job = await bench.queue.add(make())
    expect(job.retries).toBe(2)
    expect(await settled(bench, job.id)).toMatchObject({
      state: 'FAILED',
      attempts: 3,
      error: 'no',
    })
    expect(backoffs).toEqual([
      ['work', 1, true],
      ['work', 2, true],
    ])
  })
})

describe('what is looked at', () => {
  test('is a copy: Vendure’s API changes the data of a job that it shows', async () => {
    await using bench = await openBench()
    const { queue } = bench
    const seen = Promise.withResolvers<unknown>()
    await queue.start('work', async (job) => {
      const [shown] = await queue.findManyById([job.id as ID])
      Object.assign(shown?.data, { ctx: 'pruned' })
      seen.resolve(job.data)
    })
    const { id } = await queue.add(make({ ctx: 'whole' }))
    expect(await seen.promise).toEqual({ ctx: 'whole' })
    expect((await settled(bench, id)).data).toEqual({ ctx: 'whole' })
  })

  test('of two handlers of one name the last runs', async () => {
    await using bench = await openBench()
    for (const name of ['first', 'last']) await bench.queue.start('work', async () => name)
    const jobs = [await bench.queue.add(make()), await bench.queue.add(make())]
    for (const { id } of jobs) expect((await settled(bench, id)).result).toBe('last')
  })
})

describe('what is stored', () => {
  test.each<[why: string, result: unknown, shown: unknown]>([
    ['a Date stays one', { at: new Date(5) }, { at: new Date(5) }],
    ['a Map stays one', new Map([[1, 2]]), new Map([[1, 2]])],
    [
      'a bigint becomes text, which JSON can hold',
      { n: 10n ** 20n },
      { n: '100000000000000000000' },
    ],
    ['functions are dropped, as JSON drops them', { a: 1, f: () => 1 }, { a: 1 }],
    ['a function alone is nothing', () => 1, undefined],
    ['nothing is nothing', undefined, undefined],
  ])('of a result: %s', async (_why, result, shown) => {
    await using bench = await openBench()
    await bench.queue.start('work', async () => result)
    const { id } = await bench.queue.add(make())
    const job = await settled(bench, id)
    expect([job.state, job.result]).toEqual(['COMPLETED', shown])
    expect(() => JSON.stringify(job)).not.toThrow()
  })

  test('a result that nothing can hold fails the job, and says where', async () => {
    await using bench = await openBench()
    await bench.queue.start('work', async () => {
      const loop: Record<string, unknown> = { f: () => 1 }
      loop['self'] = loop
      return loop
    })
    const { id } = await bench.queue.add(make())
    const { state, error } = await settled(bench, id)
    expect([state, error]).toEqual(['FAILED', expect.stringContaining('result.f')])
  })

  test.each<[why: string, data: unknown, shown: unknown]>([
    ['none: the API reads fields of it', undefined, {}],
    ['null', null, {}],
    ['a bigint', { n: 1n }, { n: '1' }],
    ['a function', { f: () => 1, a: 1 }, { a: 1 }],
    ['a Date, flattened by Vendure', { at: new Date(0) }, { at: '1970-01-01T00:00:00.000Z' }],
  ])('of data: %s', async (_why, data, shown) => {
    await using bench = await openBench()
    const { id } = await bench.queue.add(make(data))
    expect((await bench.queue.findOne(id as ID))?.data).toEqual(shown)
    expect((await bench.queue.findMany()).items[0]?.data).toEqual(shown)
  })

  test('an id that a job brings is not looked at: it is always a new one', async () => {
    await using bench = await openBench()
    const first = await bench.queue.add(make('a'))
    const again = await bench.queue.add(new Job({ ...first, id: first.id as ID, data: 'b' }))
    expect(again.id).not.toBe(first.id)
    expect((await bench.queue.findMany()).totalItems).toBe(2)
    expect(again.createdAt).toEqual(first.createdAt)
  })
})

describe('options', () => {
  test('a delay, a priority and a timeout of each job', async () => {
    await using bench = await openBench({
      setJobOptions: (queueName, job) =>
        queueName === 'work' ? { priority: job.data.rank, delay: job.data.delay } : {},
    })
    for (const data of [{ rank: 0 }, { rank: 5 }, { rank: 9, delay: 60_000 }])
      await bench.queue.add(make(data))
    const ran: number[] = []
    await bench.queue.start('work', async ({ data }: Job<{ rank: number }>) => ran.push(data.rank))
    await until('both', () => (ran.length === 2 ? true : undefined))
    expect(ran).toEqual([5, 0])
    await expect(bench.queue.add(make({ rank: 9_999 }))).rejects.toThrow(WherryError)
  })

  test('what was settled days ago is removed by a task', async () => {
    await using bench = await openBench()
    const jobs = [await bench.queue.add(make('old')), await bench.queue.add(make('waits'))]
    await bench.queue.cancelJob(jobs[0]?.id as ID)
    const run = (days: number): Promise<unknown> =>
      cleanJobsTask(bench.queue, days).execute(bench.injector)
    expect(await run(1)).toEqual({ jobRecordsDeleted: 0 })
    // Settled before tomorrow.
    expect(await run(-1)).toEqual({ jobRecordsDeleted: 1 })
    expect((await bench.queue.findMany()).items.map(({ data }) => data)).toEqual(['waits'])
  })

  test('with a prefix the settled jobs of another shop stay', async () => {
    const store = createMemoryStore()
    const config = { jobQueueOptions: { prefix: 'one.' } }
    await using bench = await openBench({ storage: store, config })
    for (const queueName of ['one.work', 'two.work']) {
      const { id } = await bench.queue.add(new Job({ queueName, data: {} }))
      await bench.queue.cancelJob(id as ID)
    }
    expect(await bench.queue.removeSettledJobs([], undefined)).toBe(1)
    expect((await bench.queue.findMany()).items.map(({ queueName }) => queueName)).toEqual([
      'two.work',
    ])
    expect(await bench.queue.removeSettledJobs(['two.work'], new Date(0))).toBe(0)
    expect(await bench.queue.removeSettledJobs(['two.work'], null)).toBe(1)
  })
})
