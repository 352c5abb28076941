import { describe, expect, test } from 'vitest'
import { createCloudflareKVStore } from '../../adapters/store/cloudflare-kv.ts'
import {
  type JobQueueService,
  ScheduledTask,
  type ScheduledTaskConfig,
  Scheduler,
  type Store,
  type TaskArguments,
} from '../../src/main.ts'
import { seededRandom } from '../../src/testing/main.ts'
import { SimulatedKV } from '../support/simulated-kv.ts'
import { Workbench } from '../support/workbench.ts'

const MINUTE = 60_000
const YEAR = 365 * 1_440 * MINUTE
const START = Date.UTC(2026, 0, 1)

type Config = Partial<ScheduledTaskConfig>

/** A run that ends when the test says so. */
interface Run {
  readonly args: TaskArguments
  end(result?: unknown): void
  fail(error: unknown): void
}

class Bench extends Workbench {
  readonly runs: Run[] = []

  task(config: Config = {}): ScheduledTask {
    return new ScheduledTask({
      id: 'clean-up',
      schedule: '* * * * *',
      execute: (args) => {
        const ended = Promise.withResolvers<unknown>()
        this.runs.push({ args, end: ended.resolve, fail: ended.reject })
        args.signal.addEventListener('abort', () => ended.reject(args.signal.reason))
        return ended.promise
      },
      ...config,
    })
  }

  async scheduler(
    config: Config = {},
  ): Promise<{ service: JobQueueService; scheduler: Scheduler }> {
    const service = this.service()
    const scheduler = new Scheduler(service, { tasks: [this.task(config)] })
    await service.start()
    await this.settle()
    return { service, scheduler }
  }

  run(index: number): Run {
    const run = this.runs.at(index)
    if (run === undefined) throw new Error(`There was no run ${index}, only ${this.runs.length}`)
    return run
  }

  /** When the runs so far were due, in minutes since the start; null: by hand. */
  minutes(): (number | null)[] {
    return this.runs.map(
      ({ args }) => args.scheduledAt && (args.scheduledAt.getTime() - START) / MINUTE,
    )
  }

  async end(index: number, result?: unknown): Promise<void> {
    this.run(index).end(result)
    await this.settle()
  }
}

/** A task whose runs end at once. */
const quick = (bench: Bench): Config => ({
  execute: (args) => {
    bench.runs.push({ args, end() {}, fail() {} })
    return args.scheduledAt?.getTime()
  },
})

describe('§3 a task', () => {
  test('runs at its times, each as one job in its queue', async () => {
    const bench = new Bench()
    const { service } = await bench.scheduler({ ...quick(bench), schedule: '*/2 * * * *' })
    await bench.clock.advance(5 * MINUTE)
    expect(bench.minutes()).toEqual([2, 4])
    const { items } = await service.findMany({ filter: { queueName: { eq: 'task.clean-up' } } })
    expect(items.map(({ id, state }) => [id, state])).toEqual([
      [`clean-up-${START + 2 * MINUTE}`, 'COMPLETED'],
      [`clean-up-${START + 4 * MINUTE}`, 'COMPLETED'],
    ])
  })

  test('§3 begins on time to the second, and is handed params, default {}', async () => {
    const bench = new Bench()
    const startedAt: number[] = []
    const given: unknown[] = []
    await bench.scheduler({
      schedule: '*/20 * * * * *',
      execute: ({ params }) => {
        startedAt.push(bench.clock.now() - START)
        given.push(params)
      },
    })
    await bench.clock.advance(MINUTE)
    expect(startedAt).toEqual([20_000, 40_000, 60_000])
    expect(given[0]).toEqual({})
  })

  test('§3 configure() changes schedule, timeout, params and time zone, and ignores what says nothing', async () => {
    const task = new ScheduledTask({
      id: 'a',
      schedule: '* * * * *',
      params: { days: 30 },
      execute: ({ params }) => params.days,
    })
    expect(task.configure({ params: { days: 7 }, timezone: 'Europe/Paris', timeout: '5s' })).toBe(
      task,
    )
    task.configure({ schedule: (cron) => cron.everyDayAt(3), timezone: '', timeout: 0 })
    expect([task.schedule, task.timeoutMs, task.options.timezone]).toEqual([
      '0 3 * * *',
      5_000,
      'Europe/Paris',
    ])
  })

  test.each<[string, Config, string]>([
    ['a schedule that is none', { schedule: 'often' }, 'schedule task "clean-up"'],
    ['§3Δ a time zone that is none', { timezone: 'Mars/Olympus' }, 'schedule task "clean-up"'],
    ['a timeout that is none', { timeout: 'long' }, 'make task "clean-up"'],
    ['a timeout over what timers hold', { timeout: '30 days' }, 'timeout is 2592000000'],
    ['retries that are none', { retries: 1.5 }, 'schedule task "clean-up"'],
    ['an id that is none', { id: 'a b' }, 'its id'],
    ['too many missed runs', { missedRunsMax: 5_000 }, 'missedRunsMax'],
  ])('%s is refused, naming the task', (_what, config, named) => {
    const bench = new Bench()
    expect(() => new Scheduler(bench.service(), { tasks: [bench.task(config)] })).toThrow(named)
  })

  test('two tasks of one id, and a queue of its name, are refused', async () => {
    const bench = new Bench()
    const tasks = [bench.task(), bench.task()]
    expect(() => new Scheduler(bench.service(), { tasks })).toThrow('"clean-up"')
    const service = bench.service()
    await service.createQueue({ name: 'task.clean-up' })
    expect(() => new Scheduler(service, { tasks: [bench.task()] })).toThrow('task.clean-up')
  })

  test('§3Δ the scheduler’s time zone is for tasks that name none', async () => {
    const bench = new Bench()
    const service = bench.service()
    const tasks = [
      bench.task({ id: 'a', schedule: '0 12 * * *' }),
      bench.task({ id: 'b', schedule: '0 12 * * *', timezone: 'Asia/Tokyo' }),
    ]
    const reports = await new Scheduler(service, { tasks, timezone: 'America/New_York' }).getTasks()
    expect(reports.map(({ nextExecutionAt }) => nextExecutionAt?.getUTCHours())).toEqual([17, 3])
  })

  test('§3 timeout aborts the run, which has failed then', async () => {
    const bench = new Bench()
    const { scheduler } = await bench.scheduler({ timeout: '10s', schedule: '*/5 * * * *' })
    await bench.clock.advance(5 * MINUTE + 9_999)
    expect(bench.run(0).args.signal.aborted).toBe(false)
    await bench.clock.advance(1)
    expect(bench.run(0).args.signal.reason.name).toBe('TimeoutError')
    expect(await scheduler.getTask('clean-up')).toMatchObject({
      isRunning: false,
      lastResult: { error: 'Timed out after 10000 ms' },
    })
  })
})

describe('§3 preventOverlap', () => {
  test('is on by default: what falls due during a run is skipped', async () => {
    const bench = new Bench()
    await bench.scheduler({ timeout: '1h' })
    await bench.clock.advance(3 * MINUTE + 1)
    expect(bench.minutes()).toEqual([1])
    await bench.end(0)
    await bench.clock.advance(MINUTE)
    expect(bench.minutes()).toEqual([1, 4])
  })

  test('holds for a run that waits for its next attempt', async () => {
    const bench = new Bench()
    await bench.scheduler({ retries: 1 })
    await bench.clock.advance(MINUTE)
    bench.run(0).fail(new Error('no'))
    await bench.settle()
    await bench.clock.advance(100)
    expect(bench.runs).toHaveLength(1)
    await bench.clock.advance(2_000)
    expect(bench.minutes()).toEqual([1, 1])
  })

  test('#5389 holds while a handler that was cancelled has not stopped', async () => {
    const bench = new Bench()
    const stop = Promise.withResolvers<void>()
    const { service } = await bench.scheduler({ execute: () => stop.promise })
    await bench.clock.advance(MINUTE)
    await service.cancelJob(`clean-up-${START + MINUTE}`)
    await bench.clock.advance(20_000)
    const scheduler = new Scheduler(bench.service(), { tasks: [bench.task()] })
    await expect(scheduler.runTask('clean-up')).rejects.toMatchObject({ code: 'job-unsettled' })
    stop.resolve()
    await bench.clock.advance(1_000)
    expect(await scheduler.runTask('clean-up')).toMatchObject({ queueName: 'task.clean-up' })
  })

  test('holds against an old run that is retried by hand, either way round', async () => {
    const bench = new Bench()
    const { service } = await bench.scheduler({ timeout: '1h' })
    const first = `clean-up-${START + MINUTE}`
    await bench.clock.advance(MINUTE)
    await bench.end(0)
    await bench.clock.advance(MINUTE)
    // The second runs: the first may not begin again.
    await service.retryJob(first)
    await bench.settle()
    await bench.clock.advance(10)
    expect(bench.runs).toHaveLength(2)
    expect(await service.findOne(first)).toMatchObject({ state: 'PENDING' })
    await bench.end(1)
    await bench.clock.advance(10)
    expect(bench.minutes()).toEqual([1, 2, 1])
    // The first runs again: the third is skipped.
    await bench.clock.advance(MINUTE)
    expect(bench.runs).toHaveLength(3)
    await bench.end(2)
    await bench.clock.advance(MINUTE)
    expect(bench.minutes()).toEqual([1, 2, 1, 4])
  })

  test('across processes, an old run that is retried while another runs fails', async () => {
    const bench = new Bench()
    const { service } = await bench.scheduler({ timeout: '1h' })
    await bench.scheduler({ timeout: '1h' })
    const first = `clean-up-${START + MINUTE}`
    await bench.clock.advance(MINUTE)
    await bench.end(0)
    await bench.clock.advance(MINUTE)
    await service.retryJob(first)
    await bench.clock.advance(10_000)
    expect(bench.minutes()).toEqual([1, 2])
    expect(await service.findOne(first)).toMatchObject({
      state: 'FAILED',
      error: expect.stringContaining(`clean-up-${START + 2 * MINUTE}`),
    })
  })

  test('false lets runs overlap', async () => {
    const bench = new Bench()
    await bench.scheduler({ preventOverlap: false, timeout: '1h' })
    await bench.clock.advance(3 * MINUTE)
    expect(bench.minutes()).toEqual([1, 2, 3])
  })
})

describe('missed runs', () => {
  /** Runs of a task whose processes were away from minute 1 to minute 6 and a half. */
  async function away(config: Config, awayMs = 5.5 * MINUTE): Promise<Bench> {
    const bench = new Bench()
    const { service } = await bench.scheduler({ ...quick(bench), ...config })
    await bench.clock.advance(MINUTE)
    await service.stop()
    await bench.clock.advance(awayMs)
    await bench.scheduler({ ...quick(bench), ...config })
    await bench.clock.advance(10_000)
    return bench
  }

  test.each<[string, Config, number[]]>([
    ['are made up for once, by default', {}, [1, 6]],
    ['skip: only what is less than a minute late', { missedRuns: 'skip' }, [1, 6]],
    ['skip: nothing else', { missedRuns: 'skip', schedule: '*/5 * * * *' }, []],
    ['last: the last', { missedRuns: 'last', schedule: '*/5 * * * *' }, [5]],
    ['all', { missedRuns: 'all' }, [1, 2, 3, 4, 5, 6]],
    ['all, up to n of the newest', { missedRuns: 'all', missedRunsMax: 2 }, [1, 5, 6]],
    [
      'all, at once when runs may overlap',
      { missedRuns: 'all', preventOverlap: false },
      [1, 2, 3, 4, 5, 6],
    ],
  ])('%s', async (_name, config, expected) => {
    expect((await away(config)).minutes()).toEqual(expected)
  })

  test('all: one after another, when runs may not overlap', async () => {
    const bench = new Bench()
    await bench.scheduler({ missedRuns: 'all', timeout: '1h' })
    await bench.clock.advance(3 * MINUTE)
    expect(bench.minutes()).toEqual([1])
    await bench.end(0)
    await bench.clock.advance(2_000)
    expect(bench.minutes()).toEqual([1, 2])
    await bench.end(1)
    await bench.clock.advance(2_000)
    expect(bench.minutes()).toEqual([1, 2, 3])
  })

  test('a clock that was a year ahead bars no task from its times when it is right again', async () => {
    const bench = new Bench()
    const read = bench.store.read.bind(bench.store)
    bench.store.read = async (query) => ({ ...(await read(query)), now: bench.clock.now() + YEAR })
    const { service } = await bench.scheduler(quick(bench))
    await bench.clock.advance(2 * MINUTE)
    await service.stop()
    expect(bench.runs.length).toBeGreaterThan(0)
    const before = bench.runs.length
    bench.store.read = read
    await bench.scheduler(quick(bench))
    await bench.clock.advance(5 * MINUTE)
    expect(bench.minutes().slice(before)).toEqual([3, 4, 5, 6, 7])
  })

  test('a year of them is no loop through half a million', async () => {
    const bench = await away({ schedule: '* * * * * *' }, 365 * 86_400_000)
    expect(bench.minutes().length).toBeLessThan(80)
  })

  test('there are none before a task is first seen', async () => {
    const bench = new Bench()
    await bench.scheduler({ ...quick(bench), schedule: '0 0 1 1 *' })
    await bench.clock.advance(10 * MINUTE)
    expect(bench.runs).toEqual([])
  })

  test('a new schedule makes up for nothing that it would have done before', async () => {
    const bench = new Bench()
    const { service } = await bench.scheduler({ ...quick(bench), schedule: '0 0 * * *' })
    await service.stop()
    await bench.clock.advance(30 * MINUTE + 30_000)
    await bench.scheduler({ ...quick(bench), schedule: '*/20 * * * *', missedRuns: 'all' })
    await bench.clock.advance(10 * MINUTE)
    expect(bench.minutes()).toEqual([40])
  })
})

describe('exactly one job an occurrence', () => {
  test('with four services that tick on one store', async () => {
    const bench = new Bench()
    for (let i = 0; i < 4; i++) await bench.scheduler(quick(bench))
    const { service } = await bench.scheduler(quick(bench))
    await bench.clock.advance(30 * MINUTE)
    expect(bench.minutes()).toEqual(Array.from({ length: 30 }, (_, i) => i + 1))
    expect((await service.findMany()).totalItems).toBe(30)
  })

  test('and a tick that stood still while the job ran and was removed adds no second', async () => {
    const bench = new Bench()
    const held = holdCommits(bench.store)
    const slow = bench.service({ storage: held.store })
    const scheduler = new Scheduler(slow, { tasks: [bench.task(quick(bench))] })
    await scheduler.tick()
    const { service } = await bench.scheduler(quick(bench))
    held.hold()
    await service.stop()
    await bench.clock.advance(MINUTE)
    const ticking = scheduler.tick()
    await bench.settle()
    await service.start()
    await bench.settle()
    expect(bench.minutes()).toEqual([1])
    expect(await service.removeSettledJobs()).toBe(1)
    held.release()
    await bench.clock.until(ticking)
    await service.drain()
    await bench.settle()
    expect(bench.minutes()).toEqual([1])
  })

  test('whatever becomes of requests and replies', async () => {
    for (let failing = 1; failing <= 12; failing++) {
      for (const applied of [false, true]) {
        const bench = new Bench()
        const store = failAt(bench.store, failing, applied)
        const service = bench.service({ storage: store })
        new Scheduler(service, { tasks: [bench.task(quick(bench))] })
        await bench.scheduler(quick(bench))
        await service.start()
        await bench.clock.advance(3 * MINUTE + 10_000)
        expect([failing, applied, ...bench.minutes()]).toEqual([failing, applied, 1, 2, 3])
      }
    }
  })

  test('a stranger’s job of its id does not stand for an occurrence', async () => {
    for (const unitPuts of [1, 100]) {
      const bench = new Bench()
      Object.assign(bench.store, { limits: { ...bench.store.limits, unitPuts } })
      const { service } = await bench.scheduler(quick(bench))
      const other = await service.createQueue({ name: 'other' })
      await other.add(null, { id: `clean-up-${START + MINUTE}` })
      await bench.clock.advance(2 * MINUTE)
      expect(bench.minutes()).toEqual([1, 2])
    }
  })

  test('with ids of one’s own, and a run by hand whose id is taken draws another', async () => {
    const bench = new Bench()
    const ids = ['taken', 'taken', 'free']
    const service = bench.service({ newId: () => ids.shift() ?? 'none' })
    const runId = (taskId: string, at: Date): string =>
      `${taskId}_${(at.getTime() - START) / 1_000}`
    const scheduler = new Scheduler(service, { tasks: [bench.task(quick(bench))], runId })
    const other = await service.createQueue({ name: 'other' })
    await other.add(null)
    await service.start()
    await bench.clock.advance(MINUTE)
    expect((await scheduler.runTask('clean-up')).id).toBe('free')
    await bench.settle()
    expect(bench.minutes()).toEqual([1, null])
    expect((await scheduler.history('clean-up')).map(({ jobId }) => jobId)).toEqual([
      'free',
      'clean-up_60',
    ])
  })

  test('two systems in one store keep apart by their prefix', async () => {
    const bench = new Bench()
    for (const prefix of ['', 'shop/', 'shop:']) {
      const service = bench.service({ prefix })
      new Scheduler(service, { tasks: [bench.task(quick(bench))] })
      await service.start()
    }
    await bench.clock.advance(2 * MINUTE)
    expect(bench.minutes()).toEqual([1, 1, 1, 2, 2, 2])
  })
})

describe('a drain', () => {
  test('ticks, and says when the next occurrence is', async () => {
    const bench = new Bench()
    const service = bench.service()
    new Scheduler(service, { tasks: [bench.task(quick(bench))] })
    expect(await service.drain()).toMatchObject({
      processed: 0,
      nextDueAt: new Date(START + MINUTE),
    })
    await bench.clock.advance(MINUTE + 5_000)
    expect(await service.drain()).toMatchObject({
      processed: 1,
      nextDueAt: new Date(START + 2 * MINUTE),
    })
    expect(bench.minutes()).toEqual([1])
    expect((await service.drain()).processed).toBe(0)
  })

  test('of own jobs alone does not', async () => {
    const bench = new Bench()
    const service = bench.service()
    new Scheduler(service, { tasks: [bench.task(quick(bench))] })
    const before = bench.store.operations().reads
    await service.drain({ only: 'own' })
    expect(bench.store.operations().reads - before).toBeLessThan(2)
  })

  test('on a store without compare-and-set, doubled ticks run an occurrence once', async () => {
    const bench = new Bench()
    const { clock } = bench
    const random = seededRandom(5)
    const kv = new SimulatedKV({ now: () => clock.now(), random, lagMs: 0 })
    const store = createCloudflareKVStore(kv.at('here'), { clock, random })
    const service = bench.service({ storage: store })
    const scheduler = new Scheduler(service, { tasks: [bench.task(quick(bench))] })
    for (let minute = 0; minute <= 3; minute++) {
      await bench.clock.until(service.drain({ budgetMs: 5_000 }))
      await bench.clock.until(service.drain({ budgetMs: 5_000 }))
      await bench.clock.advance(MINUTE - (bench.clock.now() % MINUTE) + 1_000)
    }
    expect(bench.minutes()).toEqual([1, 2, 3])
    expect(await scheduler.history('clean-up')).toMatchObject([{ state: 'COMPLETED' }, {}, {}])
  })
})

describe('reports and control', () => {
  test('§3 a task that was never seen', async () => {
    const bench = new Bench()
    const scheduler = new Scheduler(bench.service(), {
      tasks: [bench.task({ description: 'tidies', schedule: (cron) => cron.everyDayAt(3) })],
    })
    expect(await scheduler.getTasks()).toEqual([
      {
        id: 'clean-up',
        description: 'tidies',
        schedule: '0 3 * * *',
        timezone: 'UTC',
        enabled: true,
        isRunning: false,
        lastExecutedAt: null,
        lastResult: null,
        nextExecutionAt: new Date(START + 3 * 60 * MINUTE),
        queueName: 'task.clean-up',
      },
    ])
    expect(await scheduler.getTask('none')).toBeUndefined()
  })

  test('§3 while it runs, when it has run, and when it has failed', async () => {
    const bench = new Bench()
    const { scheduler } = await bench.scheduler()
    await bench.clock.advance(MINUTE)
    expect(await scheduler.getTask('clean-up')).toMatchObject({ isRunning: true, lastResult: null })
    await bench.clock.advance(500)
    await bench.end(0, { removed: 3, at: new Date(0) })
    expect(await scheduler.getTask('clean-up')).toMatchObject({
      isRunning: false,
      lastExecutedAt: new Date(START + MINUTE + 500),
      lastResult: { removed: 3, at: new Date(0) },
      nextExecutionAt: new Date(START + 2 * MINUTE),
    })
    await bench.clock.advance(MINUTE)
    bench.run(1).fail(new Error('disk full'))
    await bench.settle()
    expect(await scheduler.getTask('clean-up')).toMatchObject({
      lastExecutedAt: new Date(START + 2 * MINUTE + 500),
      lastResult: { error: 'disk full' },
    })
  })

  test('the last runs are remembered when their jobs are gone', async () => {
    const bench = new Bench()
    const service = bench.service()
    const tasks = [bench.task(quick(bench))]
    const scheduler = new Scheduler(service, { tasks, history: 3 })
    await service.start()
    for (let minute = 0; minute < 5; minute++) {
      await bench.clock.advance(MINUTE)
      await bench.settle()
      await service.removeSettledJobs()
    }
    const runs = await scheduler.history('clean-up')
    expect(runs.map(({ scheduledAt }) => scheduledAt)).toEqual(
      [5, 4, 3].map((minute) => new Date(START + minute * MINUTE)),
    )
    expect(runs[0]).toMatchObject({ state: 'COMPLETED', result: START + 5 * MINUTE })
    expect((await scheduler.getTask('clean-up'))?.lastResult).toBe(START + 5 * MINUTE)
  })

  test('a result that is too long stays with its job alone', async () => {
    const bench = new Bench()
    const { scheduler } = await bench.scheduler()
    await bench.clock.advance(MINUTE)
    await bench.end(0, 'x'.repeat(10_000))
    const [run] = await scheduler.history('clean-up')
    expect([run?.state, run?.result]).toEqual(['COMPLETED', undefined])
  })

  test('§3 disabled: nothing runs, nothing is made up for, and every process sees it', async () => {
    const bench = new Bench()
    const { scheduler } = await bench.scheduler({ ...quick(bench), missedRuns: 'all' })
    const { scheduler: other } = await bench.scheduler({ ...quick(bench), missedRuns: 'all' })
    await bench.clock.advance(MINUTE)
    expect(await scheduler.updateTask({ id: 'clean-up', enabled: false })).toMatchObject({
      enabled: false,
      nextExecutionAt: null,
    })
    await bench.clock.advance(3 * MINUTE)
    expect(bench.minutes()).toEqual([1])
    expect(await other.updateTask({ id: 'clean-up', enabled: true })).toMatchObject({
      enabled: true,
      nextExecutionAt: new Date(START + 5 * MINUTE),
    })
    await bench.clock.advance(MINUTE)
    expect(bench.minutes()).toEqual([1, 5])
  })

  test('§3 run now: at once, in any process that has the task, disabled or not', async () => {
    const bench = new Bench()
    await bench.scheduler(quick(bench))
    const onlooker = new Scheduler(bench.service(), { tasks: [bench.task()] })
    await onlooker.updateTask({ id: 'clean-up', enabled: false })
    const job = await onlooker.runTask('clean-up')
    await bench.settle()
    expect(await bench.clock.until(job.wait())).toBeUndefined()
    expect(bench.minutes()).toEqual([null])
    expect(await onlooker.history('clean-up')).toMatchObject([
      { jobId: job.id, scheduledAt: null, state: 'COMPLETED' },
    ])
  })

  test('§3 run now is refused while a run is not over, and is a run that others wait for', async () => {
    const bench = new Bench()
    const { scheduler } = await bench.scheduler({ timeout: '1h' })
    await scheduler.runTask('clean-up')
    await expect(scheduler.runTask('clean-up')).rejects.toMatchObject({ code: 'job-unsettled' })
    await bench.clock.advance(2 * MINUTE)
    expect(bench.minutes()).toEqual([null])
    await expect(scheduler.runTask('none')).rejects.toThrow('clean-up')
  })

  test('§3 stop() stops the ticks, and start() begins them again', async () => {
    const bench = new Bench()
    const { service } = await bench.scheduler({ ...quick(bench), missedRuns: 'skip' })
    await bench.clock.advance(MINUTE)
    await service.stop()
    await bench.clock.advance(3 * MINUTE)
    expect(bench.minutes()).toEqual([1])
    expect(bench.clock.nextDueAt).toBeNull()
    await service.start()
    await bench.clock.advance(MINUTE)
    expect(bench.minutes()).toContain(5)
  })

  test('stop() resolves though the service is started again while a tick is under way', async () => {
    const bench = new Bench()
    const { service } = await bench.scheduler(quick(bench))
    const read = bench.store.read.bind(bench.store)
    bench.store.read = async (query) => {
      await new Promise<void>((done) => bench.clock.setTimeout(done, 50))
      return read(query)
    }
    await bench.clock.advance(MINUTE + 20)
    let stopped = false
    const stopping = service.stop().finally(() => {
      stopped = true
    })
    await bench.clock.until(service.start())
    await bench.clock.advance(MINUTE)
    expect(stopped).toBe(true)
    await stopping
    await bench.clock.advance(2 * MINUTE)
    expect(bench.minutes()).toContain(3)
  })

  test('a strategy of one’s own schedules nothing, and says so', async () => {
    const bench = new Bench()
    const strategy = { add: async <T>(job: T) => job, start: async () => {}, stop: async () => {} }
    const service = bench.service({ strategy, storage: undefined } as never)
    expect(() => new Scheduler(service, { tasks: [] })).toThrow('storage')
  })
})

/** A view of the store whose commits of jobs can be held back. */
function holdCommits(store: Store): { store: Store; hold(): void; release(): void } {
  let gate = Promise.resolve()
  let open = (): void => {}
  return {
    store: view(store, async (apply, units) => {
      if (units.flat().some(({ key }) => key.startsWith('u/'))) await gate
      return apply()
    }),
    hold() {
      gate = new Promise((resolve) => {
        open = resolve
      })
    },
    release: () => open(),
  }
}

/** A view whose nth commit fails, before or after it was applied. */
function failAt(store: Store, failing: number, applied: boolean): Store {
  let commits = 0
  return view(store, async (apply) => {
    if (++commits !== failing) return apply()
    if (applied) await apply()
    throw new Error('The connection was lost')
  })
}

function view(
  store: Store,
  around: (
    apply: () => ReturnType<Store['commit']>,
    units: Parameters<Store['commit']>[0],
  ) => ReturnType<Store['commit']>,
): Store {
  const { name, guarantee, clock, limits } = store
  return {
    name,
    guarantee,
    clock,
    limits,
    read: (query) => store.read(query),
    commit: (units, hint) => around(() => store.commit(units, hint), units),
    subscribe: (channel, hear) => store.subscribe?.(channel, hear) ?? (() => {}),
    operations: () => store.operations(),
    close: () => store.close(),
  }
}
