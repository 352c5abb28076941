import { describe, expect, test } from 'vitest'
import {
  InMemoryJobQueueStrategy,
  Job,
  type JobContext,
  type JobId,
  JobQueueService,
  PollingJobQueueStrategy,
  type PollingJobQueueStrategyConfig,
  silentLogger,
} from '../../src/main.ts'
import { FakeClock } from '../../src/testing/main.ts'

/** The least that a strategy of one's own can be. */
class ListStrategy extends PollingJobQueueStrategy {
  readonly jobs: Job[] = []
  readonly polledAt: number[] = []
  readonly updates: string[] = []
  readonly #now: () => number
  fails = false

  constructor(clock: FakeClock, config: PollingJobQueueStrategyConfig = {}) {
    super({ clock, logger: silentLogger, ...config })
    this.#now = () => clock.monotonic()
  }

  async add<Data>(job: Job<Data>): Promise<Job<Data>> {
    const retries = this.setRetries(job.queueName, job)
    const { queueName, data } = job
    const added = new Job({ queueName, data, retries, id: `${this.jobs.length + 1}` })
    this.jobs.push(added)
    return added
  }

  async next(): Promise<Job | undefined> {
    this.polledAt.push(this.#now())
    if (this.fails) throw new Error('no connection')
    const job = this.jobs.find(({ state }) => state === 'PENDING' || state === 'RETRYING')
    job?.start()
    return job
  }

  async update(job: Job): Promise<void> {
    this.updates.push(`${job.id} ${job.state} ${job.progress}`)
  }

  async findOne(id: JobId): Promise<Job | undefined> {
    return this.jobs.find((job) => job.id === id)
  }
}

interface Bench {
  readonly clock: FakeClock
  readonly strategy: ListStrategy
  readonly service: JobQueueService
  readonly calls: { job: Job; context: JobContext; end: (result?: unknown) => void }[]
  add(...data: unknown[]): Promise<void>
}

async function open(config: PollingJobQueueStrategyConfig = {}): Promise<Bench> {
  const clock = new FakeClock()
  const strategy = new ListStrategy(clock, config)
  const service = new JobQueueService({ strategy, clock, logger: silentLogger })
  const calls: Bench['calls'] = []
  const queue = await service.createQueue({
    name: 'work',
    process: (job, context) => {
      const ended = Promise.withResolvers<unknown>()
      calls.push({ job, context, end: ended.resolve })
      if (job.data === 'quick') ended.resolve('done')
      if (job.data === 'fail') ended.reject(new Error('no'))
      return ended.promise
    },
  })
  const add = async (...data: unknown[]): Promise<void> => {
    for (const one of data) await queue.add(one)
  }
  return { clock, strategy, service, calls, add }
}

describe('§2.6 PollingJobQueueStrategy', () => {
  test('has Vendure’s defaults, with a config and with two numbers', () => {
    const clock = new FakeClock()
    const strategy = new ListStrategy(clock)
    const { concurrency, pollInterval, gracefulShutdownTimeout } = strategy
    expect([concurrency, pollInterval, gracefulShutdownTimeout]).toEqual([1, 200, 20_000])
    expect(strategy.backOffStrategy?.('work', 1, new Job({ queueName: 'work', data: 1 }))).toBe(
      1_000,
    )
    class Two extends ListStrategy {}
    const two = Reflect.construct(PollingJobQueueStrategy, [3, 50], Two) as ListStrategy
    expect([two.concurrency, two.pollInterval, two.backOffStrategy]).toEqual([3, 50, undefined])
  })

  test('polls at once, then every pollInterval; maxIdlePollInterval lets it slow down', async () => {
    const { clock, strategy, service, add } = await open({
      pollInterval: () => 100,
      maxIdlePollInterval: (queueName) => (queueName === 'work' ? 400 : 1),
    })
    await service.start()
    await clock.advance(1_500)
    expect(strategy.polledAt).toEqual([0, 100, 300, 700, 1_100, 1_500])
    await add('quick')
    await clock.advance(400)
    const found = strategy.polledAt.length
    await clock.advance(100)
    expect(strategy.polledAt.length).toBeGreaterThan(found)
  })

  test('a freed slot is filled at once, and one empty answer ends a look', async () => {
    const { clock, strategy, service, calls, add } = await open({ concurrency: () => 2 })
    await add('quick', 'quick', 'quick', 'quick', 'quick')
    await service.start()
    await clock.advance(0)
    expect(calls).toHaveLength(5)
    const looks = strategy.polledAt.length
    await clock.advance(200)
    expect(strategy.polledAt.length).toBe(looks + 1)
  })

  test('stores that a job runs, its progress, and its end', async () => {
    const { clock, strategy, service, calls, add } = await open()
    await add('slow')
    await service.start()
    await clock.advance(0)
    calls[0]?.job.setProgress(40)
    calls[0]?.end('result')
    await clock.advance(0)
    expect(strategy.updates).toEqual(['1 RUNNING 0', '1 RUNNING 40', '1 COMPLETED 100'])
    expect(strategy.jobs[0]?.result).toBe('result')
  })

  test('a failed attempt is RETRYING while there are retries, then FAILED', async () => {
    const { clock, strategy, service, calls, add } = await open({ setRetries: () => 1 })
    await add('fail')
    await service.start()
    await clock.advance(200)
    expect(calls).toHaveLength(2)
    expect(strategy.jobs[0]).toMatchObject({ state: 'FAILED', attempts: 2, error: 'no' })
  })

  test('a cancelled job is heard of within five polls, and its signal aborts', async () => {
    const { clock, strategy, service, calls, add } = await open()
    await add('slow')
    await service.start()
    await clock.advance(0)
    expect(await strategy.cancelJob('1')).toMatchObject({ state: 'CANCELLED' })
    await clock.advance(1_000)
    expect(calls[0]?.context.signal.reason.code).toBe('job-cancelled')
    calls[0]?.end('too late')
    await clock.advance(0)
    expect(strategy.jobs[0]).toMatchObject({ state: 'CANCELLED', result: undefined })
    expect(await strategy.cancelJob('none')).toBeUndefined()
  })

  test('§7.10 a settled job is not cancelled', async () => {
    const { clock, strategy, service, add } = await open()
    await add('quick')
    await service.start()
    await clock.advance(0)
    expect(await strategy.cancelJob('1')).toMatchObject({ state: 'COMPLETED' })
  })

  test('a strategy that fails is asked again, and no slot is lost', async () => {
    const { clock, strategy, service, calls, add } = await open()
    strategy.fails = true
    await service.start()
    await clock.advance(1_000)
    strategy.fails = false
    await add('quick')
    await clock.advance(200)
    expect(calls).toHaveLength(1)
  })

  test('stop() waits for what runs, then gives it back', async () => {
    const { clock, strategy, service, calls, add } = await open({ gracefulShutdownTimeout: 500 })
    await add('slow', 'slow')
    await service.start()
    await clock.advance(0)
    const stopping = service.stop()
    await clock.advance(499)
    expect(calls[0]?.context.signal.aborted).toBe(false)
    await clock.until(stopping)
    expect(calls[0]?.context.signal.aborted).toBe(true)
    expect(strategy.jobs[0]).toMatchObject({ state: 'PENDING', attempts: 0 })
    expect(calls).toHaveLength(1)
  })

  test.each(['next', 'update'] as const)(
    'a job whose %s() answers after the stop is given back, not begun',
    async (slow) => {
      const { clock, strategy, service, calls, add } = await open({ gracefulShutdownTimeout: 500 })
      await add('slow')
      const late = async <T>(act: () => Promise<T>): Promise<T> => {
        const result = await act()
        await new Promise<void>((done) => clock.setTimeout(done, 5_000))
        return result
      }
      const [next, update] = [strategy.next.bind(strategy), strategy.update.bind(strategy)]
      if (slow === 'next') strategy.next = () => late(next)
      else strategy.update = (job) => late(() => update(job))
      await service.start()
      await clock.advance(0)
      await clock.until(service.stop())
      await clock.advance(20_000)
      expect(calls).toHaveLength(0)
      expect(strategy.jobs[0]).toMatchObject({ state: 'PENDING', attempts: 0 })
    },
  )

  test.each([{ concurrency: NaN }, { concurrency: 0 }, { pollInterval: NaN }])(
    'start() refuses %o',
    async (config) => {
      const { service } = await open(config)
      await expect(service.start()).rejects.toMatchObject({ code: 'input-invalid' })
    },
  )

  test('the same process of a queue is polled once', async () => {
    const { clock, strategy } = await open()
    const process = (): void => {}
    await strategy.start('work', process)
    await strategy.start('work', process)
    await clock.advance(0)
    expect(strategy.polledAt).toHaveLength(1)
    await strategy.stop('work', process)
    await clock.advance(1_000)
    expect(strategy.polledAt).toHaveLength(1)
  })
})

describe('§2.7 InMemoryJobQueueStrategy', () => {
  test.each([
    ['a config', (clock: FakeClock) => new InMemoryJobQueueStrategy({ concurrency: 2, clock })],
    ['the concurrency and the interval', () => new InMemoryJobQueueStrategy(2, 50)],
  ])('made of %s runs jobs, and is inspectable', async (_what, make) => {
    const strategy = make(new FakeClock())
    const service = new JobQueueService({ strategy, logger: silentLogger })
    const queue = await service.createQueue({
      name: 'double',
      process: (job: Job<number>) => job.data * 2,
    })
    const jobs = [await queue.add(1), await queue.add(2)]
    const report = await service.drain()
    expect(report.completed).toBe(2)
    const found = await service.findManyById(jobs.map(({ id }) => id as string))
    expect(found.map(({ result }) => result)).toEqual([2, 4])
    expect((await service.findMany({ filter: { state: { in: ['COMPLETED'] } } })).totalItems).toBe(
      2,
    )
  })

  test.each([
    [
      'a config: after a second',
      (clock: FakeClock) => new InMemoryJobQueueStrategy({ clock }),
      1_000,
    ],
    [
      'a back-off of one’s own',
      (clock: FakeClock) => new InMemoryJobQueueStrategy({ clock, backoffStrategy: () => 50 }),
      50,
    ],
  ])('retries, with %s', async (_what, make, ms) => {
    const clock = new FakeClock()
    const service = new JobQueueService({ strategy: make(clock), clock, logger: silentLogger })
    const queue = await service.createQueue({
      name: 'fail',
      process: () => {
        throw new Error('no')
      },
    })
    await queue.add(null, { retries: 1 })
    expect((await service.drain()).nextDueAt).toEqual(new Date(clock.now() + ms))
  })
})
