/** §2.5 list options: every operator on every field that has it, and every sort. */
import { beforeAll, describe, expect, test } from 'vitest'
import type {
  Job,
  JobFilterParameter,
  JobListOptions,
  JobQueueService,
  JobSortParameter,
} from '../../src/main.ts'
import { Workbench } from '../support/workbench.ts'

const STEP_MS = 1_000

/** Jobs in every state, in two queues, of different retries, attempts, progress and duration. */
async function shelf(): Promise<JobQueueService> {
  const bench = new Workbench()
  const service = bench.service({ backoffStrategy: () => 3_600_000 })
  const queues = [
    await service.createQueue({ name: 'Mail', process: bench.manual }),
    await service.createQueue({ name: 'image', process: bench.manual }),
  ]
  await service.start()
  const ends = ['finish', 'fail', 'fail', 'fail', 'cancel', 'run', 'run'] as const
  for (const [i, end] of ends.entries()) {
    const job = await queues[i % 2]?.add(i, { retries: i % 3 })
    await bench.settle()
    bench.calls.at(-1)?.job.setProgress(10 * i)
    await bench.clock.advance(STEP_MS * (i + 1))
    if (end === 'cancel') await service.cancelJob(job?.id as string)
    if (end === 'finish') await bench.call(-1).finish()
    if (end === 'fail') await bench.call(-1).fail(new Error('no'))
    if (end === 'cancel') await bench.call(-1).finish()
  }
  // Both queues are busy.
  for (const i of [7, 8]) await queues[i % 2]?.add(i, { retries: i })
  await bench.clock.advance(STEP_MS)
  return service
}

type Field = Exclude<keyof JobFilterParameter, '_and' | '_or'>
type Value = string | number | boolean | Date | null | undefined

const KINDS: Readonly<Record<Field, 'text' | 'id' | 'number' | 'date' | 'boolean'>> = {
  id: 'id',
  queueName: 'text',
  state: 'text',
  progress: 'number',
  duration: 'number',
  retries: 'number',
  attempts: 'number',
  createdAt: 'date',
  startedAt: 'date',
  settledAt: 'date',
  isSettled: 'boolean',
}

/** What an operator means: which operand to try for the values that there are, and whom it keeps. */
interface Meaning {
  readonly operand: (values: Value[]) => unknown
  readonly keeps: (value: NonNullable<Value>, operand: never) => boolean
}

const ms = (value: unknown): number => Number(value)
const middle = (values: Value[]): Value => {
  const present = values.filter((value) => value !== null && value !== undefined)
  return present.sort((a, b) => ms(a) - ms(b))[Math.floor(present.length / 2)]
}
const first = (values: Value[]): Value =>
  values.find((value) => value !== null && value !== undefined)
const text = (value: unknown): string => String(value).toLowerCase()

const EQUAL: Record<string, Meaning> = {
  eq: {
    operand: first,
    keeps: (value, operand) => text(ms(value) || value) === text(ms(operand) || operand),
  },
}
const LISTS: Record<string, Meaning> = {
  in: {
    operand: (values) => [first(values), 'none'],
    keeps: (value, operand: Value[]) => operand.includes(value),
  },
  notIn: {
    operand: (values) => [first(values)],
    keeps: (value, operand: Value[]) => !operand.includes(value),
  },
  notEq: { operand: first, keeps: (value, operand) => value !== operand },
}
const BETWEEN: Meaning = {
  operand: (values) => ({ start: first(values), end: middle(values) }),
  keeps: (value, { start, end }: { start: Value; end: Value }) =>
    ms(value) >= ms(start) && ms(value) <= ms(end),
}

const MEANINGS: Readonly<Record<(typeof KINDS)[Field], Record<string, Meaning>>> = {
  id: { ...EQUAL, ...LISTS },
  text: {
    ...EQUAL,
    ...LISTS,
    contains: {
      operand: (values) => ` ${String(first(values)).slice(1, 3).toUpperCase()} `,
      keeps: (value, operand: string) => text(value).includes(text(operand).trim()),
    },
    notContains: {
      operand: (values) => String(first(values)).slice(1, 3).toUpperCase(),
      keeps: (value, operand: string) => !text(value).includes(text(operand)),
    },
    regex: {
      operand: (values) => `^${String(first(values)).slice(0, 2)}.*$`,
      keeps: (value, operand: string) => new RegExp(operand).test(String(value)),
    },
  },
  number: {
    ...EQUAL,
    lt: { operand: middle, keeps: (value, operand) => ms(value) < ms(operand) },
    lte: { operand: middle, keeps: (value, operand) => ms(value) <= ms(operand) },
    gt: { operand: middle, keeps: (value, operand) => ms(value) > ms(operand) },
    gte: { operand: middle, keeps: (value, operand) => ms(value) >= ms(operand) },
    between: BETWEEN,
  },
  date: {
    ...EQUAL,
    before: { operand: middle, keeps: (value, operand) => ms(value) < ms(operand) },
    after: { operand: middle, keeps: (value, operand) => ms(value) > ms(operand) },
    between: BETWEEN,
  },
  boolean: EQUAL,
}

const FIELDS = Object.keys(KINDS) as Field[]
const ROWS = FIELDS.flatMap((field) =>
  Object.entries(MEANINGS[KINDS[field]]).map(([operator, meaning]) => ({
    field,
    operator,
    meaning,
  })),
)

describe('§2.5 JobListOptions', () => {
  let service: JobQueueService
  let all: Job[]
  beforeAll(async () => {
    service = await shelf()
    all = (await service.findMany()).items
  })

  const numbers = (jobs: readonly Job[]): number[] => jobs.map(({ data }) => data)
  const listed = async (options: JobListOptions): Promise<number[]> =>
    numbers((await service.findMany(options)).items)

  test('the shelf has every state, and values to tell apart', () => {
    expect(new Set(all.map(({ state }) => state)).size).toBe(6)
    for (const field of FIELDS)
      expect(new Set(all.map((job) => job[field])).size).toBeGreaterThan(1)
  })

  test.each(ROWS)('$field $operator', async ({ field, operator, meaning }) => {
    const operand = meaning.operand(all.map((job) => job[field]))
    const filter = { [field]: { [operator]: operand } }
    const expected = all.filter((job) => {
      const value = job[field]
      return value !== null && value !== undefined && meaning.keeps(value, operand as never)
    })
    const { items, totalItems } = await service.findMany({ filter })
    expect(numbers(items)).toEqual(numbers(expected))
    expect(totalItems).toBe(expected.length)
  })

  test.each(FIELDS)('%s isNull', async (field) => {
    const absent = all.filter((job) => job[field] === null || job[field] === undefined)
    const present = all.filter((job) => !absent.includes(job))
    expect(await listed({ filter: { [field]: { isNull: true } } })).toEqual(numbers(absent))
    expect(await listed({ filter: { [field]: { isNull: false } } })).toEqual(numbers(present))
  })

  test.each([
    'id',
    'createdAt',
    'startedAt',
    'settledAt',
    'queueName',
    'progress',
    'duration',
    'retries',
    'attempts',
  ] as const)('sorts by %s, absent values last', async (field) => {
    const sortedBy = (job: Job): string | number => {
      const value = job[field]
      return value instanceof Date ? value.getTime() : (value as string | number)
    }
    for (const order of ['ASC', 'DESC'] as const) {
      const { items } = await service.findMany({ sort: { [field]: order } })
      const values = items.map(sortedBy)
      const present = values.filter((value) => value !== undefined)
      const sorted = [...present].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0))
      expect(present).toEqual(order === 'ASC' ? sorted : sorted.reverse())
      expect(values.slice(present.length).every((value) => value === undefined)).toBe(true)
      expect(items).toHaveLength(all.length)
    }
  })

  test.each<[why: string, sort: JobSortParameter]>([
    ['the first field dominates', { queueName: 'DESC', createdAt: 'ASC' }],
    ['whichever it is', { createdAt: 'ASC', queueName: 'DESC' }],
  ])('of several sorts %s', async (_why, sort) => {
    const [dominant] = Object.keys(sort)
    const expected =
      dominant === 'createdAt'
        ? all
        : ['image', 'Mail'].flatMap((name) => all.filter(({ queueName }) => queueName === name))
    expect(await listed({ sort })).toEqual(numbers(expected))
  })

  test.each<[why: string, options: unknown]>([
    ['no options', undefined],
    ['nothing in them', {}],
    ['nulls in them', { skip: null, take: null, sort: null, filter: null, filterOperator: null }],
    [
      'nulls within',
      { sort: { id: null, createdAt: null }, filter: { state: null, _and: null, _or: null } },
    ],
    [
      'operators that are null',
      { filter: { isSettled: { eq: null }, id: { in: null }, state: { eq: null } } },
    ],
    ['empty lists of conditions', { filter: { _and: [], _or: [] } }],
  ])('%s say nothing: all, in the order of their making', async (_why, options) => {
    const { items, totalItems } = await service.findMany(options as JobListOptions)
    expect([numbers(items), totalItems]).toEqual([numbers(all), all.length])
  })

  test('ids may be numbers to whoever asks', async () => {
    const bench = new Workbench()
    const own = bench.service()
    const queue = await own.createQueue({ name: 'mail' })
    await queue.add('a', { id: '17' })
    for (const filter of [{ id: { eq: 17 } }, { id: { in: [17] } }, { id: { notIn: [18] } }])
      expect((await own.findMany({ filter })).totalItems).toBe(1)
    expect((await own.findMany({ filter: { id: { notEq: 17 } } })).totalItems).toBe(0)
    expect([(await own.findOne(17))?.data, (await own.findManyById([17, 18])).length]).toEqual([
      'a',
      1,
    ])
  })
})
