import { beforeAll, describe, expect, test } from 'vitest'
import {
  Job,
  type JobFilterParameter,
  type JobListOptions,
  type JobOptions,
  type JobQueueService,
  type JobSortParameter,
} from '../../src/main.ts'
import { Workbench } from '../support/workbench.ts'

const T0 = Date.UTC(2026, 0, 1)
const at = (s: number): Date => new Date(T0 + s * 1_000)

/** Twelve jobs, one made each second, in every state, with generated ids and with ids of their own. */
async function shelf(): Promise<JobQueueService> {
  const bench = new Workbench()
  const service = bench.service({ concurrency: 1, backoffStrategy: () => 3_600_000 })
  const queues = [
    await service.createQueue({ name: 'Mail', process: bench.manual }),
    await service.createQueue({ name: 'image', process: bench.manual }),
  ]
  const ids = new Map<number, string>()
  for (let i = 0; i < 12; i++) {
    const own = i % 3 === 0 ? { id: `own-${i}` } : {}
    const job = await queues[i % 2]?.add(i, {
      ...own,
      retries: i % 4,
      ...(i >= 10 && { delay: 3_600_000 }),
    })
    ids.set(i, String(job?.id))
    await bench.clock.advance(1_000)
  }
  // Jobs 0 to 7 run, two at a time: completed, failed or retrying; 8 is cancelled, 9 runs.
  await service.start()
  for (let i = 0; i < 8; i++) {
    await bench.settle()
    const call = bench.calls.find(({ job }) => job.data === i)
    if (call === undefined) throw new Error(`Job ${i} did not run`)
    await bench.clock.advance(100 * i)
    if (i < 4) await call.finish(i)
    else await call.fail(new Error(`no ${i}`))
  }
  await service.cancelJob(ids.get(8) as string)
  await bench.settle()
  return service
}

describe('findMany()', () => {
  let service: JobQueueService
  beforeAll(async () => {
    service = await shelf()
  })

  const numbers = async (options: JobListOptions): Promise<unknown[]> =>
    (await service.findMany(options)).items.map(({ data }) => data)

  test('without options gives all, in the order of their making', async () => {
    const { items, totalItems } = await service.findMany()
    expect(items.map(({ data }) => data)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11])
    expect(totalItems).toBe(12)
    expect(items.map(({ state }) => state)).toEqual([
      'COMPLETED',
      'COMPLETED',
      'COMPLETED',
      'COMPLETED',
      'FAILED',
      'RETRYING',
      'RETRYING',
      'RETRYING',
      'CANCELLED',
      'RUNNING',
      'PENDING',
      'PENDING',
    ])
  })

  test.each<[string, JobFilterParameter, number[]]>([
    ['queueName eq', { queueName: { eq: 'Mail' } }, [0, 2, 4, 6, 8, 10]],
    ['queueName eq is exact', { queueName: { eq: 'mail' } }, []],
    ['queueName in', { queueName: { in: ['Mail', 'none'] } }, [0, 2, 4, 6, 8, 10]],
    ['queueName in nothing', { queueName: { in: [] } }, []],
    [
      'queueName notIn nothing',
      { queueName: { notIn: [] } },
      [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
    ],
    ['queueName notEq', { queueName: { notEq: 'Mail' } }, [1, 3, 5, 7, 9, 11]],
    ['queueName contains, in any case', { queueName: { contains: ' MAI ' } }, [0, 2, 4, 6, 8, 10]],
    ['queueName notContains', { queueName: { notContains: 'mai' } }, [1, 3, 5, 7, 9, 11]],
    ['queueName regex', { queueName: { regex: '^i.*e$' } }, [1, 3, 5, 7, 9, 11]],
    ['state eq', { state: { eq: 'FAILED' } }, [4]],
    ['state in', { state: { in: ['RUNNING', 'CANCELLED'] } }, [8, 9]],
    ['state and queue', { state: { eq: 'COMPLETED' }, queueName: { eq: 'image' } }, [1, 3]],
    ['isSettled', { isSettled: { eq: true } }, [0, 1, 2, 3, 4, 8]],
    ['not isSettled', { isSettled: { eq: false } }, [5, 6, 7, 9, 10, 11]],
    ['id eq', { id: { eq: 'own-3' } }, [3]],
    [
      'id in, and another condition',
      { id: { in: ['own-3', 'own-6', 'none', '../x'] }, state: { eq: 'RETRYING' } },
      [6],
    ],
    ['id notIn', { id: { notIn: ['own-0', 'own-3'] }, state: { eq: 'COMPLETED' } }, [1, 2]],
    ['retries gte', { retries: { gte: 2 } }, [2, 3, 6, 7, 10, 11]],
    ['retries between', { retries: { between: { start: 1, end: 2 } } }, [1, 2, 5, 6, 9, 10]],
    ['attempts eq', { attempts: { eq: 0 } }, [10, 11]],
    ['progress lt', { progress: { lt: 100 } }, [4, 5, 6, 7, 8, 9, 10, 11]],
    ['duration gt', { duration: { gt: 200 }, isSettled: { eq: true } }, [2, 3, 4, 8]],
    ['createdAt before, strictly', { createdAt: { before: at(2) } }, [0, 1]],
    ['createdAt after, strictly', { createdAt: { after: at(9) } }, [10, 11]],
    [
      'createdAt between, inclusively',
      { createdAt: { between: { start: at(3), end: at(4) } } },
      [3, 4],
    ],
    ['createdAt eq', { createdAt: { eq: at(5) } }, [5]],
    ['settledAt isNull', { settledAt: { isNull: true } }, [5, 6, 7, 9, 10, 11]],
    ['settledAt is not null', { settledAt: { isNull: false } }, [0, 1, 2, 3, 4, 8]],
    [
      'what is absent compares with nothing',
      { startedAt: { before: at(999) }, attempts: { eq: 0 } },
      [],
    ],
    [
      '_and',
      { _and: [{ state: { in: ['COMPLETED', 'FAILED'] } }, { queueName: { eq: 'Mail' } }] },
      [0, 2, 4],
    ],
    ['_or', { _or: [{ state: { eq: 'RUNNING' } }, { id: { eq: 'own-0' } }] }, [0, 9]],
    [
      '_and within _or',
      {
        _or: [
          { _and: [{ state: { eq: 'COMPLETED' } }, { retries: { eq: 3 } }] },
          { state: { eq: 'FAILED' } },
        ],
      },
      [3, 4],
    ],
    [
      'an undefined condition',
      { state: undefined, queueName: { eq: 'Mail', in: undefined } },
      [0, 2, 4, 6, 8, 10],
    ],
    ['several operators of one field', { retries: { gt: 0, lt: 2 } }, [1, 5, 9]],
  ])('filters by %s', async (_name, filter, expected) => {
    const { items, totalItems } = await service.findMany({ filter })
    expect(items.map(({ data }) => data)).toEqual(expected)
    expect(totalItems).toBe(expected.length)
  })

  test('combines conditions by OR when told to', async () => {
    const filter = { state: { eq: 'FAILED' }, queueName: { eq: 'Mail' } }
    expect(await numbers({ filter, filterOperator: 'OR' })).toEqual([0, 2, 4, 6, 8, 10])
    expect(
      await numbers({ filter: { ...filter, retries: { eq: 3 } }, filterOperator: 'OR' }),
    ).toEqual([0, 2, 3, 4, 6, 7, 8, 10, 11])
  })

  test.each<[JobSortParameter, number[]]>([
    [{ createdAt: 'DESC' }, [11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0]],
    [{ settledAt: 'ASC' }, [0, 1, 2, 3, 4, 8, 11, 10, 9, 7, 6, 5].slice(0, 6)],
    [{ settledAt: 'DESC' }, [8, 4, 3, 2, 1, 0]],
    [{ queueName: 'ASC', createdAt: 'DESC' }, [10, 8, 6, 4, 2, 0, 11, 9, 7, 5, 3, 1]],
    [{ retries: 'DESC', createdAt: 'ASC' }, [3, 7, 11, 2, 6, 10, 1, 5, 9, 0, 4, 8]],
    [{ attempts: 'ASC', createdAt: 'ASC' }, [10, 11, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]],
  ])('sorts by %j', async (sort, expected) => {
    expect((await numbers({ sort })).slice(0, expected.length)).toEqual(expected)
  })

  test('pages neither repeat nor skip, and tell the total', async () => {
    for (const sort of [
      { createdAt: 'DESC' },
      { queueName: 'ASC' },
      { duration: 'DESC' },
    ] as const) {
      const pages: unknown[] = []
      for (let skip = 0; skip < 15; skip += 5) {
        const { items, totalItems } = await service.findMany({ sort, skip, take: 5 })
        expect(totalItems).toBe(12)
        pages.push(...items.map(({ data }) => data))
      }
      expect(pages).toEqual(await numbers({ sort }))
    }
  })

  test.each<[string, JobListOptions]>([
    ['a take of 0', { take: 0 }],
    ['a take of 1001', { take: 1_001 }],
    ['a negative skip', { skip: -1 }],
    ['a take that is not whole', { take: 1.5 }],
    ['an unknown field', { filter: { colour: { eq: 'red' } } as never }],
    ['an unknown operator', { filter: { retries: { like: 1 } } as never }],
    ['a regex that is none', { filter: { queueName: { regex: '(' } } }],
    ['an operand of another type', { filter: { queueName: { contains: 5 as never } } }],
    ['an unknown sort field', { sort: { state: 'ASC' } as never }],
    ['an unknown order', { sort: { id: 'UP' as never } }],
  ])('refuses %s', async (_name, options) => {
    await expect(service.findMany(options)).rejects.toThrow(
      expect.objectContaining({ code: 'input-invalid' }),
    )
  })

  test('findManyById() keeps the order asked for and leaves out what there is not', async () => {
    const jobs = await service.findManyById(['own-6', 'none', 'own-0', '../x', 'own-6'])
    expect(jobs.map(({ id }) => id)).toEqual(['own-6', 'own-0', 'own-6'])
  })

  test('counts() sums places to states', async () => {
    expect((await service.counts()).get('Mail')).toEqual({
      PENDING: 1,
      RUNNING: 0,
      COMPLETED: 2,
      RETRYING: 1,
      FAILED: 1,
      CANCELLED: 1,
    })
  })
})

test('a long listing is walked, not collected, and gives the same', async () => {
  const bench = new Workbench()
  const service = bench.service()
  const [a, b] = [
    await service.createQueue({ name: 'a' }),
    await service.createQueue({ name: 'b' }),
  ]
  for (let i = 0; i < 5; i++) {
    await a.addMany(
      Array.from({ length: 600 }, (_, j) => ({
        data: i * 1_000 + j,
        options: j % 100 === 0 ? { id: `own-${i}-${j}` } : {},
      })),
    )
    await b.add(i)
    await bench.clock.advance(1_000)
  }
  const lists = bench.store.operations().lists
  const { items, totalItems } = await service.findMany({
    sort: { createdAt: 'DESC' },
    filter: { queueName: { eq: 'a' } },
    skip: 2,
    take: 3,
  })
  expect(totalItems).toBe(3_000)
  expect(items).toHaveLength(3)
  expect(
    items.every(
      ({ queueName, createdAt }) => queueName === 'a' && createdAt.getTime() === T0 + 4_000,
    ),
  ).toBe(true)
  // Ten counts, and a page of each of the two lists in the order of creation.
  expect(bench.store.operations().lists - lists).toBeLessThanOrEqual(13)
})

describe('pages of a long listing neither repeat nor skip', () => {
  const COUNT = 2_100

  async function ids(service: JobQueueService, sort: JobSortParameter): Promise<unknown[]> {
    const found: unknown[] = []
    for (let skip = 0; skip <= COUNT; skip += 300) {
      const { items } = await service.findMany({ sort, skip, take: 300 })
      found.push(...items.map(({ id }) => id))
    }
    return found
  }

  const many = (options: JobOptions = {}): { data: number; options: JobOptions }[] =>
    Array.from({ length: COUNT }, (_, i) => ({ data: i, options: { ...options, retries: i % 3 } }))

  test('with ids by a generator of one’s own', async () => {
    const bench = new Workbench()
    let made = 0
    const service = bench.service({ newId: () => `id-${++made}` })
    await (await service.createQueue({ name: 'a' })).addMany(many())
    const found = await ids(service, { createdAt: 'DESC' })
    expect([found.length, new Set(found).size]).toEqual([COUNT, COUNT])
  })

  test('with jobs that were created at another time than their ids', async () => {
    const bench = new Workbench()
    const service = bench.service()
    await (await service.createQueue({ name: 'a' })).addMany(many())
    const ages = [20_000, 86_400_000, -10_000, 30_000, 1_000]
    const { strategy } = service
    const [, old] = await Promise.all(
      ages.map((ms) => {
        const createdAt = new Date(bench.clock.now() - ms)
        return strategy.add(new Job({ queueName: 'a', data: ms, createdAt }))
      }),
    )
    for (const order of ['ASC', 'DESC'] as const) {
      const found = await ids(service, { createdAt: order })
      expect([found.length, new Set(found).size]).toEqual([COUNT + 5, COUNT + 5])
      expect(found.at(order === 'ASC' ? 0 : -1)).toBe(old?.id)
    }
  })

  test('with a second field, which orders jobs of one moment', async () => {
    const bench = new Workbench()
    const service = bench.service()
    await (await service.createQueue({ name: 'a' })).addMany(many())
    const sort = { createdAt: 'ASC', retries: 'DESC' } as const
    const { items } = await service.findMany({ sort, take: 700 })
    expect(items.every(({ retries }) => retries === 2)).toBe(true)
  })
})
