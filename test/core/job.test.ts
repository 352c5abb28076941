import { describe, expect, test, vi } from 'vitest'
import { Job, type JobConfig, type JobState, WherryError } from '../../src/main.ts'

const CONFIG: JobConfig<{ to: string }> = { queueName: 'mail', data: { to: 'ada@example.org' } }
const make = (config: Partial<JobConfig<{ to: string }>> = {}): Job<{ to: string }> =>
  new Job({ ...CONFIG, ...config })

describe('Job', () => {
  test('begins PENDING, with nothing done', () => {
    const job = make()
    expect({ ...job }).toEqual({
      id: null,
      queueName: 'mail',
      retries: 0,
      createdAt: expect.any(Date),
    })
    expect(job).toMatchObject({
      name: 'mail',
      state: 'PENDING',
      progress: 0,
      attempts: 0,
      isSettled: false,
      duration: 0,
    })
    expect([job.result, job.error, job.startedAt, job.settledAt, job.runAt]).toEqual([
      undefined,
      undefined,
      undefined,
      undefined,
      undefined,
    ])
  })

  test.each([
    [0, 0],
    ['', ''],
    ['a', 'a'],
    [undefined, null],
    [null, null],
  ])('keeps the id %j', (id, kept) => {
    expect(make({ id }).id).toBe(kept)
  })

  test('spreads to the config of a new job', () => {
    const settled = make({
      id: 'a',
      retries: 3,
      state: 'COMPLETED',
      attempts: 2,
      settledAt: new Date(),
    })
    const again = new Job({ ...settled, id: undefined, data: settled.data })
    expect(again).toMatchObject({
      id: null,
      queueName: 'mail',
      retries: 3,
      state: 'PENDING',
      attempts: 0,
    })
    expect(again.createdAt).toBe(settled.createdAt)
  })

  test.each<
    [
      string,
      (job: Job) => void,
      Partial<Record<'state' | 'attempts' | 'progress' | 'error' | 'result', unknown>>,
    ]
  >([
    ['start', (job) => job.start(), { state: 'RUNNING', attempts: 1 }],
    ['start twice', (job) => [job.start(), job.start()], { state: 'RUNNING', attempts: 1 }],
    [
      'complete',
      (job) => [job.start(), job.complete(5)],
      { state: 'COMPLETED', progress: 100, result: 5 },
    ],
    ['complete unstarted', (job) => job.complete(), { state: 'COMPLETED', attempts: 0 }],
    [
      'fail with retries left',
      (job) => [job.start(), job.fail(new Error('m'))],
      { state: 'RETRYING', error: 'm', progress: 0 },
    ],
    [
      'fail with none left',
      (job) => [job.start(), job.fail('s'), job.start(), job.fail('t')],
      { state: 'FAILED', error: 't', attempts: 2 },
    ],
    ['fail unstarted does nothing', (job) => job.fail('s'), { state: 'PENDING', error: undefined }],
    [
      'complete after a failure clears the error',
      (job) => [job.start(), job.fail('s'), job.start(), job.complete()],
      { state: 'COMPLETED', error: undefined },
    ],
    ['cancel', (job) => job.cancel(), { state: 'CANCELLED' }],
    [
      'cancel, then fail',
      (job) => [job.start(), job.cancel(), job.fail('s')],
      { state: 'CANCELLED', error: undefined },
    ],
    [
      'cancel, then complete',
      (job) => [job.start(), job.cancel(), job.complete(1)],
      { state: 'CANCELLED', result: undefined },
    ],
    [
      'complete, then cancel',
      (job) => [job.start(), job.complete(1), job.cancel()],
      { state: 'COMPLETED', result: 1 },
    ],
    [
      'complete, then progress',
      (job) => [job.start(), job.complete(1), job.setProgress(5)],
      { progress: 100 },
    ],
    [
      'defer gives one attempt back',
      (job) => [job.start(), job.fail('s'), job.start(), job.defer()],
      { state: 'PENDING', attempts: 1 },
    ],
    [
      'defer when not running does nothing',
      (job) => job.defer(),
      { state: 'PENDING', attempts: 0 },
    ],
  ])('%s', (_name, act, after) => {
    const job = make({ retries: 1 })
    act(job)
    expect(job).toMatchObject(after)
  })

  test.each([
    [new Error('m'), 'm'],
    [new Error(''), 'Error'],
    ['s', 's'],
    [undefined, 'undefined'],
    [null, 'null'],
    [{ message: 'obj' }, 'obj'],
    [{ code: 1 }, '[object Object]'],
    [42, '42'],
    [Symbol('x'), 'Symbol(x)'],
  ])('the error of fail(%s) is "%s"', (error, text) => {
    const job = make()
    job.start()
    job.fail(error)
    expect(job.error).toBe(text)
  })

  test.each<[JobState, number]>([
    ['PENDING', 0],
    ['RETRYING', 0],
    ['RUNNING', 70],
    ['COMPLETED', 20],
    ['FAILED', 20],
    ['CANCELLED', 20],
  ])('lasts in %s %s ms', (state, ms) => {
    const settledAt = state === 'RUNNING' ? undefined : new Date(50)
    const clock = { now: () => 100 }
    const logger = { debug() {}, info() {}, warn() {}, error() {} }
    const job = new Job({ ...CONFIG, state, startedAt: new Date(30), settledAt }, { clock, logger })
    expect(job.duration).toBe(ms)
  })

  test('is settled only with a settled state and its time', () => {
    expect(make({ state: 'COMPLETED' }).isSettled).toBe(false)
    expect(make({ state: 'RUNNING', settledAt: new Date() }).isSettled).toBe(false)
    expect(make({ state: 'FAILED', settledAt: new Date() }).isSettled).toBe(true)
  })

  test('tells its progress to every listener, and logs one that throws', () => {
    const error = vi.fn()
    const surroundings = {
      clock: { now: () => 0 },
      logger: { debug() {}, info() {}, warn() {}, error },
    }
    const job = new Job(CONFIG, surroundings)
    const heard: number[] = []
    const listener = (same: Job): void => void heard.push(same.progress)
    job.on('progress', () => {
      throw new Error('deaf')
    })
    job.on('progress', listener)
    job.setProgress(30)
    job.setProgress(30)
    job.off('progress', listener)
    job.off('progress', listener)
    job.setProgress(120)
    expect(heard).toEqual([30, 30])
    expect(job.progress).toBe(100)
    expect(error).toHaveBeenCalledTimes(3)
    expect(() => job.on('done' as never, listener)).toThrow(TypeError)
  })

  test('as JSON has dates as text, null for what is absent, and marks for what JSON loses', () => {
    const data = { at: new Date(0), n: 1n } as never
    const job = new Job({
      queueName: 'mail',
      id: 'a',
      data,
      createdAt: new Date(5),
      result: new Map([[1, 2]]),
    })
    expect(JSON.parse(JSON.stringify(job))).toEqual({
      id: 'a',
      queueName: 'mail',
      state: 'PENDING',
      data: { at: '1970-01-01T00:00:00.000Z', n: '1' },
      progress: 0,
      result: [[1, 2]],
      error: null,
      attempts: 0,
      retries: 0,
      priority: 0,
      createdAt: '1970-01-01T00:00:00.005Z',
      runAt: null,
      startedAt: null,
      settledAt: null,
      isSettled: false,
      duration: 0,
      meta: {
        data: { v: 1, values: { at: ['Date'], n: ['bigint'] } },
        result: { v: 1, values: ['map'] },
      },
    })
    expect(JSON.parse(JSON.stringify(make()))).not.toHaveProperty('meta')
    expect(JSON.parse(JSON.stringify(make()))).toMatchObject({ result: null, error: null })
  })

  test('as JSON refuses data that would be lost', () => {
    const job = new Job({ queueName: 'mail', data: { act: () => {} } })
    expect(() => job.toJSON()).toThrow(WherryError)
  })
})
