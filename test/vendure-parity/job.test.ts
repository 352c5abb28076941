/** §1 Job: what Vendure's users know of it, where the tests of the core do not say it already. */
import { describe, expect, test } from 'vitest'
import {
  Job,
  type JobConfig,
  JobQueueService,
  type JobState,
  silentLogger,
} from '../../src/main.ts'

const make = (config: Partial<JobConfig> = {}): Job =>
  new Job(
    { queueName: 'mail', data: {}, ...config },
    { clock: { now: () => 100 }, logger: silentLogger },
  )

describe('§1.2 members', () => {
  test.each<[why: string, config: Partial<JobConfig>, shown: Partial<Record<keyof Job, unknown>>]>([
    ['retries are extra attempts', { retries: 2 }, { retries: 2 }],
    ['negative ones pass, and an add refuses them', { retries: -1 }, { retries: -1 }],
    ['no retries are none', { retries: undefined }, { retries: 0 }],
    ['attempts were started', { attempts: 3 }, { attempts: 3 }],
    ['createdAt is not changed', { createdAt: new Date(5) }, { createdAt: new Date(5) }],
    ['without one it is now', {}, { createdAt: new Date(100) }],
    ['a state that is given', { state: 'RETRYING' }, { state: 'RETRYING', isSettled: false }],
    ['a result and an error', { result: 1, error: 'e' }, { result: 1, error: 'e' }],
    ['name is queueName', {}, { name: 'mail', queueName: 'mail' }],
    ['COMPLETED without its time is not settled', { state: 'COMPLETED' }, { isSettled: false }],
    [
      'never started, it took no time',
      { state: 'COMPLETED', settledAt: new Date(9) },
      { duration: 0 },
    ],
  ])('%s', (_why, config, shown) => {
    expect(make(config)).toMatchObject(shown)
  })
})

describe('§1.3 transitions', () => {
  test.each<[why: string, act: (job: Job) => void, shown: Partial<Record<keyof Job, unknown>>]>([
    [
      'start() keeps progress, error and result',
      (job) => job.start(),
      { state: 'RUNNING', progress: 40, error: 'old', result: 'old', startedAt: new Date(100) },
    ],
    [
      'complete() is 100 % and settled',
      (job) => [job.start(), job.complete(7)],
      {
        progress: 100,
        result: 7,
        settledAt: new Date(100),
        isSettled: true,
      },
    ],
    [
      'fail() takes the progress back',
      (job) => [job.start(), job.fail('new')],
      {
        progress: 0,
        error: 'new',
        settledAt: undefined,
      },
    ],
    [
      'cancel() keeps result and progress',
      (job) => job.cancel(),
      {
        state: 'CANCELLED',
        progress: 40,
        result: 'old',
        settledAt: new Date(100),
      },
    ],
    [
      'defer() keeps progress, error and startedAt',
      (job) => [job.start(), job.defer()],
      {
        state: 'PENDING',
        attempts: 1,
        progress: 40,
        error: 'old',
        startedAt: new Date(100),
      },
    ],
  ])('%s', (_why, act, shown) => {
    const job = make({
      state: 'RETRYING',
      retries: 2,
      attempts: 1,
      progress: 40,
      result: 'old',
      error: 'old',
      startedAt: new Date(1),
    })
    act(job)
    expect(job).toMatchObject(shown)
  })

  test.each<[retries: number, states: JobState[]]>([
    [0, ['FAILED']],
    [1, ['RETRYING', 'FAILED']],
    [2, ['RETRYING', 'RETRYING', 'FAILED']],
  ])('with %d retries failures lead to %j', (retries, states) => {
    const job = make({ retries })
    const seen = states.map(() => {
      job.start()
      job.fail('no')
      return job.state
    })
    expect([seen, job.attempts]).toEqual([states, retries + 1])
  })

  test.each<[given: unknown, kept: number, why: string]>([
    [33.3, 33.3, 'a fraction stays'],
    [101, 100, 'at most all'],
    [Infinity, 100, 'at most all'],
    [-5, 0, 'at least nothing, where Vendure has no bound'],
    [Number.NaN, 0, 'no number is nothing'],
    [undefined, 0, 'nothing is nothing'],
    ['50', 50, 'text that is a number'],
  ])('setProgress(%j) is %d: %s', (given, kept) => {
    const job = make()
    job.start()
    job.setProgress(given as number)
    expect([job.progress, job.state]).toEqual([kept, 'RUNNING'])
  })
})

describe('§1.4 data', () => {
  const shared = { n: 1 }
  const deep = (depth: number): unknown => (depth === 0 ? 'bottom' : { in: deep(depth - 1) })

  test.each<[why: string, data: unknown]>([
    ['a text', 'text'],
    ['an array', [1, [2], { three: 3 }]],
    ['nothing', undefined],
    ['null', null],
    ['a Date, which Vendure makes text', new Date(5)],
    ['undefined and null in fields', { a: undefined, b: null }],
    [
      'a Map and a Set, of which Vendure keeps the size',
      { map: new Map([[1, 2]]), set: new Set([3]) },
    ],
    ['a bigint, which Vendure cannot store', 10n ** 20n],
    ['an object twice, which Vendure takes for a cycle', { a: shared, b: { c: shared } }],
    ['more than ten levels, which Vendure cuts', deep(20)],
    ['a URL, a RegExp and bytes', [new URL('https://a.example/'), /x/i, new Uint8Array([1, 2])]],
  ])('%s comes to the handler as it was', async (_why, data) => {
    const jobs = new JobQueueService({ logger: silentLogger })
    const seen: unknown[] = []
    const queue = await jobs.createQueue({
      name: 'mail',
      process: ({ data }) => void seen.push(data),
    })
    const { id } = await queue.add(data)
    expect((await jobs.findOne(id as string))?.data).toEqual(data)
    await jobs.drain()
    expect(seen).toEqual([data])
  })

  test('what its adder does to it afterwards is not seen', async () => {
    const jobs = new JobQueueService({ logger: silentLogger })
    const queue = await jobs.createQueue({ name: 'mail' })
    const data = { to: ['a'] }
    const adding = queue.add(data)
    const addingMany = queue.addMany([{ data }])
    data.to.push('b')
    const added = [await adding, ...(await addingMany)]
    data.to.push('c')
    for (const one of added) {
      expect(one.data).toEqual({ to: ['a'] })
      expect((await jobs.findOne(one.id as string))?.data).toEqual({ to: ['a'] })
    }
  })
})

describe('§1.5 events', () => {
  test('one listener may be there twice, and off() takes the first away', () => {
    const job = make()
    let heard = 0
    const listener = (): void => void heard++
    job.on('progress', listener)
    job.on('progress', listener)
    job.setProgress(1)
    job.off('progress', listener)
    job.setProgress(1)
    expect(heard).toBe(3)
  })

  test('one that leaves while it hears makes nobody miss anything, as it does in Vendure', () => {
    const job = make()
    const heard: string[] = []
    const first = (): void => {
      heard.push('first')
      job.off('progress', first)
    }
    job.on('progress', first)
    job.on('progress', () => heard.push('second'))
    job.setProgress(1)
    job.setProgress(2)
    expect(heard).toEqual(['first', 'second', 'second'])
  })

  test('only progress is told', () => {
    const job = make({ retries: 1 })
    const states: JobState[] = []
    job.on('progress', ({ state }) => void states.push(state))
    job.start()
    job.fail('no')
    job.start()
    job.defer()
    job.start()
    job.complete()
    expect(states).toEqual([])
  })
})
