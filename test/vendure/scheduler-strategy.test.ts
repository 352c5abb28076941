/** The scheduler behind Vendure's port, without a server. */
import { ScheduledTask, type ScheduledTaskConfig } from '@vendure/core'
import { describe, expect, test } from 'vitest'
import { jobSignal } from '../../adapters/vendure/main.ts'
import { createMemoryStore } from '../../src/main.ts'
import { type Bench, type BenchOptions, openBench } from './bench.ts'
import { until } from './processes.ts'

/** A task that is not due while a test runs. */
function task(config: Partial<ScheduledTaskConfig> = {}): ScheduledTask {
  return new ScheduledTask({
    id: 'sweep',
    schedule: '0 0 1 1 *',
    execute: async () => 'done',
    ...config,
  })
}

async function open(tasks: ScheduledTask[], options: BenchOptions = {}): Promise<Bench> {
  const bench = await openBench({ ...options, config: { schedulerOptions: { tasks } } })
  await bench.scheduler.appIsUp()
  return bench
}

const ended = ({ scheduler }: Bench, id = 'sweep'): Promise<unknown> =>
  until('the run to end', async () => (await scheduler.getTask(id))?.lastResult ?? undefined)

describe('§3 SchedulerStrategy', () => {
  test('reports a task before it has run, and after', async () => {
    await using bench = await open([task()])
    const report = { id: 'sweep', enabled: true, isRunning: false }
    expect(await bench.scheduler.getTasks()).toEqual([
      { ...report, lastExecutedAt: null, lastResult: null },
    ])
    await bench.scheduler.triggerTask(task())
    expect(await ended(bench)).toBe('done')
    expect(await bench.scheduler.getTask('sweep')).toEqual({
      ...report,
      lastExecutedAt: expect.any(Date),
      lastResult: 'done',
    })
    expect(await bench.scheduler.getTask('none')).toBeUndefined()
  })

  test.each(['clean sessions', 'x'.repeat(60), 'ünïcode/../', 'a.b', 'a-b'])(
    'takes the id %j, which Vendure sees as it is',
    async (id) => {
      await using bench = await open([task({ id })])
      await bench.scheduler.triggerTask(task({ id }))
      expect(await ended(bench, id)).toBe('done')
      expect((await bench.scheduler.updateTask({ id, enabled: false })).id).toBe(id)
      expect((await bench.scheduler.getTasks()).map((report) => report.id)).toEqual([id])
    },
  )

  test('hands the task its injector, an admin’s context and its params, default {}', async () => {
    const seen: unknown[] = []
    const execute: ScheduledTaskConfig['execute'] = async ({
      injector,
      scheduledContext,
      params,
    }) => void seen.push(injector, scheduledContext.apiType, params)
    await using bench = await open([task({ execute })])
    await bench.scheduler.triggerTask(task())
    await until('the run', () => (seen.length > 0 ? true : undefined))
    expect(seen).toEqual([bench.injector, 'admin', {}])
  })

  test('§7.24 a failure is its last result, and counts as executed', async () => {
    const execute = async (): Promise<never> => {
      throw new Error('no broom')
    }
    await using bench = await open([task({ execute })])
    await bench.scheduler.triggerTask(task())
    expect(await ended(bench)).toEqual({ error: 'no broom' })
    expect((await bench.scheduler.getTask('sweep'))?.lastExecutedAt).toBeInstanceOf(Date)
  })

  test('§7.24 a timeout aborts the run where that can be, and says so', async () => {
    const execute = (): Promise<never> =>
      new Promise((_, reject) => {
        jobSignal()?.addEventListener('abort', () => reject(jobSignal()?.reason))
      })
    await using bench = await open([task({ execute, timeout: '50ms' })])
    await bench.scheduler.triggerTask(task())
    expect(await ended(bench)).toEqual({ error: 'Timed out after 50 ms' })
  })

  test('§7.24 nor does one begin beside a run that was aborted and goes on', async () => {
    const end = Promise.withResolvers<string>()
    await using bench = await open([task({ execute: () => end.promise, timeout: 50 })], {
      leaseMs: 400,
    })
    await bench.scheduler.triggerTask(task())
    expect(await ended(bench)).toEqual({ error: 'Timed out after 50 ms' })
    await bench.scheduler.triggerTask(task())
    await until('its refusal', async () => {
      const { error } = (await bench.scheduler.getTask('sweep'))?.lastResult ?? {}
      return error?.includes('has not stopped') || undefined
    })
    end.resolve('swept')
    await bench.scheduler.triggerTask(task())
    await until('its end', async () => {
      const { lastResult } = (await bench.scheduler.getTask('sweep')) ?? {}
      return lastResult === 'swept' || undefined
    })
  })

  test('§7.24 no run begins beside another unless the task lets it', async () => {
    const end = Promise.withResolvers<void>()
    let runs = 0
    const execute = async (): Promise<void> => {
      runs++
      await end.promise
    }
    const overlapping = task({ id: 'overlapping', preventOverlap: false, execute })
    await using bench = await open([task({ execute }), overlapping])
    const { scheduler } = bench
    await scheduler.triggerTask(task())
    await until('it to run', async () =>
      (await scheduler.getTask('sweep'))?.isRunning ? true : undefined,
    )
    await expect(scheduler.triggerTask(task())).rejects.toMatchObject({ code: 'job-unsettled' })
    await scheduler.triggerTask(overlapping)
    await scheduler.triggerTask(overlapping)
    await until('three runs', () => (runs === 3 ? true : undefined))
    end.resolve()
  })

  test('§7.24 a disabled task runs when it is asked to by hand', async () => {
    await using bench = await open([task()])
    expect(await bench.scheduler.updateTask({ id: 'sweep', enabled: false })).toMatchObject({
      enabled: false,
    })
    await bench.scheduler.triggerTask(task())
    expect(await ended(bench)).toBe('done')
    expect(await bench.scheduler.updateTask({ id: 'sweep' })).toMatchObject({ enabled: false })
    await expect(bench.scheduler.updateTask({ id: 'none', enabled: true })).rejects.toThrow('none')
  })

  test('Vendure’s own timers make no run; a call without one does', async () => {
    let runs = 0
    const counted = task({ execute: async () => ++runs })
    await using bench = await open([counted])
    await bench.scheduler.executeTask(counted)({})
    await bench.scheduler.executeTask(counted)()
    expect(await ended(bench)).toBe(1)
  })

  test('runs in workers alone, unless the shop says otherwise', async () => {
    const store = createMemoryStore()
    const ran: string[] = []
    const by = (name: string): ScheduledTask => task({ execute: async () => ran.push(name) })
    await using server = await open([by('server')], { storage: store, isWorker: false })
    await server.scheduler.triggerTask(task())
    await using worker = await open([by('worker')], { storage: store })
    await ended(worker)
    expect(ran).toEqual(['worker'])
    await using alone = await openBench({
      isWorker: false,
      config: { schedulerOptions: { tasks: [by('alone')], runTasksInWorkerOnly: false } },
    })
    await alone.scheduler.appIsUp()
    await alone.scheduler.triggerTask(task())
    await ended(alone)
    expect(ran).toEqual(['worker', 'alone'])
  })

  test('waits until the app is up, for its tasks may need all of it', async () => {
    let runs = 0
    const counted = task({ execute: async () => ++runs })
    await using bench = await openBench({ config: { schedulerOptions: { tasks: [counted] } } })
    await bench.scheduler.triggerTask(counted)
    const { service } = bench.engine.open
    expect([service.started, runs]).toEqual([false, 0])
    await bench.scheduler.appIsUp()
    expect(await ended(bench)).toBe(1)
  })

  test.each([
    ['a schedule', { schedule: 'soon' }],
    ['a timeout', { timeout: 'soon' }],
  ])('refuses %s that says nothing when the app starts, naming the task', async (_what, config) => {
    await expect(open([task(config)])).rejects.toThrow(/"sweep".*soon/)
  })

  test('§7.24 what was missed is made up for once, or not at all', async () => {
    for (const [missedRuns, expected] of [
      [undefined, 1],
      ['skip', 0],
    ] as const) {
      const store = createMemoryStore()
      const yearly = task({ schedule: '0 0 1 1 *' })
      {
        await using bench = await open([yearly], { storage: store })
        await bench.engine.open.service.drain()
      }
      await setCursorBack(store)
      const settings = missedRuns === undefined ? {} : { missedRuns }
      await using bench = await open([yearly], { storage: store, settings })
      await bench.engine.open.service.drain()
      const { totalItems } = await bench.queue.findMany({
        filter: { queueName: { eq: 'task.sweep' } },
      })
      expect([missedRuns, totalItems]).toEqual([missedRuns, expected])
    }
  })
})

/** As if no worker had been there for two years. */
async function setCursorBack(store: ReturnType<typeof createMemoryStore>): Promise<void> {
  const { ranges } = await store.read({ ranges: [{ place: 'k/task', limit: 1 }] })
  const record = ranges[0]?.[0]
  if (!record) throw new Error('The task has no record')
  const head = JSON.parse(record.head)
  const cursor = head.a - 2 * 366 * 86_400_000
  await store.commit([
    [
      {
        key: record.key,
        expect: record.version,
        score: cursor,
        head: JSON.stringify({ ...head, a: cursor }),
      },
    ],
  ])
}
