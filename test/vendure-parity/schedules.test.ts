/** §3 scheduled tasks, where the tests of the scheduler do not say it already. */
import { describe, expect, test } from 'vitest'
import { JobQueueService, ScheduledTask, Scheduler, silentLogger } from '../../src/main.ts'
import { Workbench } from '../support/workbench.ts'

const YEARLY = '0 0 1 1 *'

describe('§3 a task', () => {
  test.each<[why: string, execute: () => unknown, lastResult: unknown]>([
    ['what it gives is its last result', () => ({ removed: 3 }), { removed: 3 }],
    ['nothing is null, where Vendure has an empty text', () => undefined, null],
    ['an error is its message', () => Promise.reject(new Error('full')), { error: 'full' }],
    ['what else is thrown is its text', () => Promise.reject('full'), { error: 'full' }],
    [
      'an error without a message has its name',
      () => Promise.reject(new TypeError()),
      { error: 'TypeError' },
    ],
  ])('%s', async (_why, execute, lastResult) => {
    const bench = new Workbench()
    const service = bench.service()
    const task = new ScheduledTask({ id: 'sweep', schedule: YEARLY, execute })
    const scheduler = new Scheduler(service, { tasks: [task] })
    await scheduler.runTask('sweep')
    await service.drain()
    expect(await scheduler.getTask('sweep')).toMatchObject({
      lastResult,
      lastExecutedAt: new Date(bench.clock.now()),
      isRunning: false,
    })
  })

  test.each<[why: string, timeout: number | string | undefined, ms: number]>([
    ['a minute, if it does not say', undefined, 60_000],
    ['milliseconds', 1_500, 1_500],
    ['text', '10s', 10_000],
    ['text of hours', '1.5 hours', 5_400_000],
  ])('its timeout is %s', (_why, timeout, ms) => {
    const task = new ScheduledTask({ id: 'sweep', schedule: YEARLY, timeout, execute: () => {} })
    expect(task.timeoutMs).toBe(ms)
  })

  test('configure() changes the task itself, and answers it', () => {
    const task = new ScheduledTask({ id: 'sweep', schedule: YEARLY, execute: () => {} })
    expect(task.configure({ schedule: '0 1 * * *', params: { days: 3 } })).toBe(task)
    expect([task.schedule, task.options.params]).toEqual(['0 1 * * *', { days: 3 }])
  })

  test.each<[why: string, act: (scheduler: Scheduler) => Promise<unknown>]>([
    ['updated', (scheduler) => scheduler.updateTask({ id: 'none', enabled: true })],
    ['run', (scheduler) => scheduler.runTask('none')],
  ])('one that is not known is not %s, and the known are named', async (_why, act) => {
    const service = new JobQueueService({ logger: silentLogger })
    const task = new ScheduledTask({ id: 'sweep', schedule: YEARLY, execute: () => {} })
    const scheduler = new Scheduler(service, { tasks: [task] })
    await expect(act(scheduler)).rejects.toThrow(/"none".*sweep/)
    expect(await scheduler.getTask('none')).toBeUndefined()
  })
})
