import { describe, expect, test, vi } from 'vitest'
import {
  Job,
  type JobQueue,
  type JobQueueService,
  type Store,
  WherryError,
} from '../../src/main.ts'
import { Workbench } from '../support/workbench.ts'

/** What was refused, and how. */
async function refusal(act: () => unknown): Promise<{ code: string; message: string }> {
  try {
    await act()
  } catch (error) {
    if (error instanceof WherryError) return { code: error.code, message: error.message }
    throw error
  }
  throw new Error('It was not refused')
}

describe('cancelJob()', () => {
  test('of a waiting job: it never runs', async () => {
    const bench = new Workbench()
    const { service, queue } = await bench.worker()
    await queue.add('first')
    const { id } = await queue.add('second')
    await bench.settle()
    expect(await service.cancelJob(id as string)).toMatchObject({
      state: 'CANCELLED',
      isSettled: true,
    })
    await bench.call(0).finish()
    await bench.clock.advance(60_000)
    expect(bench.calls).toHaveLength(1)
  })

  test('of a running job in this process: its signal aborts at once, and what it returns does not count', async () => {
    const bench = new Workbench()
    const { service, queue } = await bench.worker()
    const { id } = await queue.add(null, { retries: 5 })
    await bench.settle()
    expect(await service.cancelJob(id as string)).toMatchObject({ state: 'CANCELLED' })
    await bench.settle()
    const { signal } = bench.call(0).context
    expect([signal.aborted, signal.reason.code, bench.call(0).job.state]).toEqual([
      true,
      'job-cancelled',
      'CANCELLED',
    ])
    await bench.call(0).finish('too late')
    const job = await service.findOne(id as string)
    expect([job?.state, job?.result, job?.attempts]).toEqual(['CANCELLED', undefined, 1])
    await bench.clock.advance(60_000)
    expect(bench.calls).toHaveLength(1)
  })

  test.each<[string, Partial<Store>, number]>([
    ['at once, where the store tells', {}, 0],
    ['within a second, where it tells nothing', { subscribe: undefined } as never, 1_000],
    ['with the next renewal, if it was not told', { subscribe: () => () => {} }, 3_000],
  ])('of a job that runs elsewhere: its signal aborts %s', async (_when, change, ms) => {
    const bench = new Workbench()
    Object.assign(bench.store, change)
    const { queue } = await bench.worker({ leaseMs: 9_000, pollInterval: 20 })
    const other = bench.service()
    const { id } = await queue.add(null, { retries: 1 })
    await bench.clock.advance(20)
    await other.cancelJob(id as string)
    await bench.clock.advance(Math.max(0, ms - 100))
    expect(bench.call(0).context.signal.aborted).toBe(ms === 0)
    await bench.clock.advance(ms > 0 ? 100 : 0)
    expect(bench.call(0).context.signal.aborted).toBe(true)
    await bench.call(0).fail(new Error('stopped'))
    expect(await other.findOne(id as string)).toMatchObject({
      state: 'CANCELLED',
      error: undefined,
    })
  })

  test('of a job that runs elsewhere is heard of though a look for it has failed', async () => {
    const bench = new Workbench()
    const { read } = bench.store
    Object.assign(bench.store, { subscribe: undefined })
    const { queue } = await bench.worker({ leaseMs: 60_000, pollInterval: 20 })
    const { id } = await queue.add(null)
    await bench.clock.advance(20)
    await bench.service().cancelJob(id as string)
    bench.store.read = () => Promise.reject(new Error('no connection'))
    await bench.clock.advance(1_500)
    expect(bench.call(0).context.signal.aborted).toBe(false)
    bench.store.read = read
    await bench.clock.advance(1_000)
    expect(bench.call(0).context.signal.aborted).toBe(true)
  })

  test('of a running job: it cannot be retried or removed until its handler has stopped', async () => {
    const bench = new Workbench()
    const { service, queue } = await bench.worker()
    const { id } = await queue.add(null)
    await bench.settle()
    await service.cancelJob(id as string)
    expect((await refusal(() => service.retryJob(id as string))).message).toContain(
      'its handler has not stopped yet',
    )
    expect((await refusal(() => service.removeJob(id as string))).code).toBe('job-unsettled')
    await bench.call(0).finish()
    expect(await service.retryJob(id as string)).toMatchObject({ state: 'PENDING' })
    await bench.settle()
    expect(bench.calls).toHaveLength(2)
  })

  test('twice, of a running job: nobody says that its handler has stopped before it has', async () => {
    const bench = new Workbench()
    const { service, queue } = await bench.worker()
    const { id } = await queue.add(null)
    await bench.settle()
    for (let i = 0; i < 2; i++) {
      await service.cancelJob(id as string)
      bench.call(0).job.setProgress(10 * i)
      await bench.clock.advance(2_000)
    }
    expect((await refusal(() => service.retryJob(id as string))).code).toBe('job-unsettled')
    await bench.call(0).finish()
    expect(await service.retryJob(id as string)).toMatchObject({ state: 'PENDING' })
  })

  test('frees the slot of a handler that does not listen when its lease is over', async () => {
    const bench = new Workbench()
    const { service, queue } = await bench.worker({ leaseMs: 9_000 })
    const { id } = await queue.add('deaf')
    await queue.add('next')
    await bench.settle()
    await service.cancelJob(id as string)
    await bench.clock.advance(8_000)
    expect(bench.calls).toHaveLength(1)
    await bench.clock.advance(2_000)
    expect(bench.call(1).job.data).toBe('next')
    await bench.call(1).finish()
    expect(await service.retryJob(id as string)).toMatchObject({ state: 'PENDING' })
  })

  test('by its own handler, which returns it: it is cancelled, and has no result', async () => {
    const bench = new Workbench()
    const { service, queue } = await bench.worker()
    const { id } = await queue.add(null, { retries: 1 })
    await bench.settle()
    const { job } = bench.call(0)
    job.cancel()
    await bench.call(0).finish(job)
    expect(await service.findOne(String(id))).toMatchObject({
      state: 'CANCELLED',
      isSettled: true,
      result: undefined,
    })
    expect(await service.removeJob(String(id))).toBe(true)
  })

  test('of a settled job changes nothing; of none it answers undefined', async () => {
    const bench = new Workbench()
    const { service, queue } = await bench.worker()
    const { id } = await queue.add(null)
    await bench.settle()
    await bench.call(0).finish(1)
    expect(await service.cancelJob(id as string)).toMatchObject({ state: 'COMPLETED', result: 1 })
    expect(await service.cancelJob('none')).toBeUndefined()
    expect(await service.cancelJob('../hostile')).toBeUndefined()
  })
})

describe('retryJob() and removeJob()', () => {
  test('a failed job runs again as if it were new', async () => {
    const bench = new Workbench()
    const { service, queue } = await bench.worker()
    const { id } = await queue.add(null)
    await bench.settle()
    await bench.call(0).fail(new Error('x'.repeat(2_000)))
    expect(await service.retryJob(id as string)).toMatchObject({
      state: 'PENDING',
      attempts: 0,
      error: undefined,
      isSettled: false,
    })
    await bench.settle()
    await bench.call(1).finish('good')
    expect(await service.findOne(id as string)).toMatchObject({
      state: 'COMPLETED',
      result: 'good',
      attempts: 1,
    })
    expect(bench.call(1).context.fence).toBeGreaterThan(bench.call(0).context.fence)
  })

  test('are refused while the job is not settled', async () => {
    const bench = new Workbench()
    const { service, queue } = await bench.worker()
    const { id } = await queue.add(null)
    await bench.settle()
    for (const act of [
      () => service.retryJob(id as string),
      () => service.removeJob(id as string),
    ]) {
      expect(await refusal(act)).toMatchObject({
        code: 'job-unsettled',
        message: expect.stringContaining('RUNNING'),
      })
    }
    expect(await service.retryJob('none')).toBeUndefined()
    expect(await service.removeJob('none')).toBe(false)
  })

  test('say what they did though the answer of the store was lost', async () => {
    const bench = new Workbench()
    const service = bench.service()
    const queue = await service.createQueue({ name: 'work', process: () => 1 })
    const id = String((await queue.add(1)).id)
    await service.drain()
    const commit = bench.store.commit.bind(bench.store)
    let losing = false
    bench.store.commit = async (...request) => {
      const versions = await commit(...request)
      if (!losing) return versions
      losing = false
      throw new Error('The connection was lost')
    }
    losing = true
    expect(await service.retryJob(id)).toMatchObject({ state: 'PENDING' })
    await service.drain()
    losing = true
    expect(await service.removeJob(id)).toBe(true)
    expect(await service.removeJob(id)).toBe(false)
  })

  test('removeSettledJobs() removes by queue and by age, and counts', async () => {
    const bench = new Workbench()
    const { service, queue } = await bench.worker()
    const other = await service.createQueue({ name: 'other' })
    for (let i = 0; i < 3; i++) {
      await queue.add(i)
      await bench.settle()
      await bench.call(i).finish()
      await bench.clock.advance(1_000)
    }
    const waiting = await other.add('waits')
    const secondSettledAt = (await service.findMany()).items[1]?.settledAt
    expect(await service.removeSettledJobs(['other'])).toBe(0)
    expect(await service.removeSettledJobs(['work'], secondSettledAt)).toBe(1)
    expect(await service.removeSettledJobs()).toBe(2)
    expect((await service.findMany()).items.map(({ id }) => id)).toEqual([waiting.id])
  })
})

describe('timeout', () => {
  test('aborts the attempt, which has failed when its handler stopped', async () => {
    const bench = new Workbench()
    const { service, queue } = await bench.worker()
    const { id } = await queue.add(null, { timeout: 5_000, retries: 1 })
    await bench.settle()
    await bench.clock.advance(4_999)
    expect(bench.call(0).context.signal.aborted).toBe(false)
    await bench.clock.advance(1)
    expect(bench.call(0).context.signal.reason.name).toBe('TimeoutError')
    await bench.call(0).finish('too late')
    expect(await service.findOne(id as string)).toMatchObject({
      state: 'RETRYING',
      error: 'Timed out after 5000 ms',
      result: undefined,
    })
  })

  test('fails an attempt whose handler does not listen before its lease ends, and frees its slot', async () => {
    const bench = new Workbench()
    const { service, queue } = await bench.worker({ leaseMs: 10_000 })
    const { id } = await queue.add(null, { timeout: 100 })
    await queue.add('next')
    await bench.settle()
    await bench.clock.advance(10_000)
    expect(await service.findOne(id as string)).toMatchObject({
      state: 'FAILED',
      error: 'Timed out after 100 ms',
    })
    expect(bench.call(1).job.data).toBe('next')
  })
})

describe('pause() and resume()', () => {
  test('hold for every process', async () => {
    const bench = new Workbench()
    const { service } = await bench.worker()
    const elsewhere = await bench.service().createQueue({ name: 'work' })
    await elsewhere.pause()
    await elsewhere.pause()
    await elsewhere.add(1)
    await bench.clock.advance(60_000)
    expect(bench.calls).toHaveLength(0)
    expect(await service.paused()).toEqual(new Map([['work', true]]))
    expect(await service.drain()).toMatchObject({ processed: 0, stoppedBecause: 'empty' })
    await elsewhere.resume()
    await elsewhere.resume()
    await bench.settle()
    expect(bench.calls).toHaveLength(1)
  })
})

describe('stop()', () => {
  test('waits for jobs under way and begins no more', async () => {
    const bench = new Workbench()
    const { service, queue } = await bench.worker()
    await queue.add(1)
    await queue.add(2)
    await bench.settle()
    let stopped = false
    const stopping = service.stop().then(() => {
      stopped = true
    })
    await bench.clock.advance(10_000)
    expect(stopped).toBe(false)
    await bench.call(0).finish('in time')
    await stopping
    expect(bench.calls).toHaveLength(1)
    expect((await service.findMany()).items.map(({ state }) => state)).toEqual([
      'COMPLETED',
      'PENDING',
    ])
  })

  test('after gracefulShutdownTimeout aborts and gives back what still runs, its attempt uncounted', async () => {
    const bench = new Workbench()
    const { service, queue } = await bench.worker({ gracefulShutdownTimeout: 5_000 })
    const { id } = await queue.add(1)
    await bench.settle()
    const stopping = service.stop()
    await bench.clock.advance(4_999)
    expect(bench.call(0).context.signal.aborted).toBe(false)
    await bench.clock.advance(1_001)
    expect(bench.call(0).context.signal.aborted).toBe(true)
    await stopping
    const elsewhere = bench.service()
    expect(await elsewhere.findOne(id as string)).toMatchObject({ state: 'PENDING', attempts: 0 })
    await bench.worker()
    expect(bench.calls).toHaveLength(2)
    await bench.call(1).finish('second')
    await bench.call(0).finish('first, after all')
    expect(await elsewhere.findOne(id as string)).toMatchObject({
      state: 'COMPLETED',
      result: 'second',
    })
  })

  test('and start() again works', async () => {
    const bench = new Workbench()
    const { service, queue } = await bench.worker()
    await service.stop()
    expect(service.getJobQueues()).toEqual([{ name: 'work', running: false }])
    await queue.add(1)
    await bench.clock.advance(60_000)
    expect(bench.calls).toHaveLength(0)
    void service.stop()
    await service.start()
    await bench.settle()
    expect(bench.calls).toHaveLength(1)
  })
})

describe('adding', () => {
  test.each([
    ['retries below 0', { retries: -1 }, 'retries is -1'],
    ['retries not whole', { retries: 1.5 }, 'retries is 1.5'],
    ['a priority too high', { priority: 2_048 }, 'priority is 2048'],
    ['a delay below 0', { delay: -1 }, 'delay is -1'],
    ['a delay that is a bigint', { delay: 5n as never }, 'delay is 5'],
    ['a timeout of 0', { timeout: 0 }, 'timeout is 0'],
    ['an invalid date', { runAt: new Date(NaN) }, 'runAt is Invalid Date'],
    ['both delay and runAt', { delay: 1, runAt: new Date() }, 'expected one of them'],
    ['a hostile id', { id: '../etc' }, '"../etc"'],
    ['an empty id', { id: '' }, '""'],
    ['an id too long', { id: 'a'.repeat(65) }, 'aaa'],
  ])('%s is refused, and nothing is added', async (_name, options, part) => {
    const bench = new Workbench()
    const { service, queue } = await bench.worker()
    const { code, message } = await refusal(() =>
      queue.addMany([{ data: 1 }, { data: 2, options }]),
    )
    expect(code).toBe('id' in options ? 'name-invalid' : 'input-invalid')
    expect(message).toContain(part)
    expect((await service.findMany()).totalItems).toBe(0)
  })

  test('data over the store’s limit is refused with the limit', async () => {
    const bench = new Workbench()
    const { queue } = await bench.worker()
    const data = 'x'.repeat(bench.store.limits.partBytes)
    expect(await refusal(() => queue.add(data))).toMatchObject({
      code: 'data-too-large',
      message: expect.stringContaining(String(bench.store.limits.partBytes)),
    })
  })

  test('a second job of the same id is refused, alone and in a batch, before and after it is settled', async () => {
    const bench = new Workbench()
    const { service, queue } = await bench.worker()
    await queue.add('first', { id: 'mine' })
    const again = (): Promise<unknown> =>
      queue.addMany([{ data: 'new' }, { data: 'second', options: { id: 'mine' } }])
    expect(await refusal(again)).toEqual({
      code: 'id-taken',
      message: 'Cannot add a job: the id "mine" is taken',
    })
    await bench.settle()
    await bench.call(0).finish('done')
    expect((await refusal(again)).code).toBe('id-taken')
    expect(
      (
        await refusal(() =>
          queue.addMany([
            { data: 1, options: { id: 'x' } },
            { data: 2, options: { id: 'x' } },
          ]),
        )
      ).code,
    ).toBe('id-taken')
    expect((await service.findMany()).totalItems).toBe(1)
    expect(await service.findOne('mine')).toMatchObject({ data: 'first', result: 'done' })
  })

  test('of a job made elsewhere: its creation may be text, or none', async () => {
    const bench = new Workbench()
    const { strategy } = bench.service()
    const made = new Job({ queueName: 'work', data: 1, createdAt: new Date(1_000) })
    const { createdAt } = JSON.parse(JSON.stringify(made))
    const old = await strategy.add(new Job({ ...made, data: 1, createdAt }))
    expect(old.createdAt).toEqual(new Date(1_000))
    const none = await strategy.add(new Job({ ...made, data: 1, createdAt: new Date(NaN) }))
    expect(none.createdAt).toEqual(new Date(bench.clock.now()))
    const odd = new Job({ queueName: 'work', data: 1, priority: 0.5 })
    expect((await refusal(() => strategy.add(odd))).code).toBe('input-invalid')
  })

  test('rivals for one id: exactly one wins', async () => {
    const bench = new Workbench()
    const queues = await Promise.all(
      [1, 2, 3, 4].map(() => bench.service().createQueue({ name: 'work' })),
    )
    const results = await Promise.allSettled(queues.map((queue, i) => queue.add(i, { id: 'mine' })))
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
  })

  test('setRetries overrides what was asked, and onAdd hears of what is stored', async () => {
    const bench = new Workbench()
    const heard: unknown[] = []
    const { queue } = await bench.worker({
      setRetries: () => 7,
      onAdd: (name, ids) => heard.push([name, ids]),
    })
    const job = await queue.add(1, { retries: 2 })
    expect(job.retries).toBe(7)
    expect(heard).toEqual([['work', [job.id]]])
  })

  test('takes data and options as they are at the call', async () => {
    const bench = new Workbench()
    const { service, queue } = await bench.worker({ concurrency: 9 })
    const page = { number: 0 }
    const options = { priority: 0 }
    const adding: Promise<unknown>[] = []
    for (let number = 1; number <= 3; number++) {
      Object.assign(page, { number })
      Object.assign(options, { priority: -number })
      adding.push(queue.add(page, options), queue.addMany([{ data: page, options }]))
    }
    await Promise.all(adding)
    const { items } = await service.findMany()
    expect(items.map(({ data }) => data.number).sort()).toEqual([1, 1, 2, 2, 3, 3])
    expect(items.every(({ data, priority }) => priority === -data.number)).toBe(true)
  })

  test('onAdd hears of what is stored though the rest of the call was not', async () => {
    const bench = new Workbench()
    const heard: string[] = []
    const service = bench.service({ onAdd: (_name, ids) => heard.push(...ids) })
    const queue = await service.createQueue({ name: 'work' })
    const commit = bench.store.commit.bind(bench.store)
    bench.store.commit = async (units, hint) => {
      const good = units.filter(([put]) => !put?.parts?.['data']?.includes('bad'))
      const versions = await commit(good, hint)
      if (good.length < units.length) throw new Error('The connection was lost')
      return versions
    }
    const adding = bench.clock.until(queue.addMany([{ data: 'good' }, { data: 'bad' }]))
    expect((await refusal(() => adding)).code).toBe('store-unavailable')
    const { items } = await service.findMany()
    expect([items.map(({ data }) => data), heard]).toEqual([['good'], items.map(({ id }) => id)])
  })

  test('10,000 jobs in one call are in the order of their adding', async () => {
    const bench = new Workbench()
    const queue = await bench.service().createQueue({ name: 'work' })
    const jobs = await queue.addMany(Array.from({ length: 10_000 }, (_, i) => ({ data: i })))
    const ids = jobs.map(({ id }) => id as string)
    expect([...ids].sort()).toEqual(ids)
    expect(new Set(ids).size).toBe(10_000)
  })
})

describe('wait() and updates()', () => {
  const ended = async (
    bench: Workbench,
    how: 'finish' | 'fail' | 'cancel',
    service: JobQueueService,
    queue: JobQueue,
  ): Promise<() => Promise<unknown>> => {
    const job = await queue.add(1)
    await bench.settle()
    if (how === 'finish') await bench.call(0).finish('result')
    if (how === 'fail') await bench.call(0).fail(new Error('oh'))
    if (how === 'cancel') await service.cancelJob(job.id as string)
    return () => job.wait()
  }

  test('wait() gives the result, or says how else it ended', async () => {
    for (const [how, outcome] of [
      ['finish', 'result'],
      ['fail', 'job-failed'],
      ['cancel', 'job-cancelled'],
    ] as const) {
      const bench = new Workbench()
      const { service, queue } = await bench.worker()
      const wait = await ended(bench, how, service, queue)
      const got = await wait().catch((error: WherryError) => error.code)
      expect(got).toBe(outcome)
    }
  })

  test('wait() gives up in time, and on a signal', async () => {
    const bench = new Workbench()
    const { queue } = await bench.worker()
    const job = await queue.add(1)
    const waiting = refusal(() => job.wait({ timeoutMs: 3_000 }))
    await bench.clock.advance(3_000)
    expect(await waiting).toMatchObject({
      code: 'wait-timeout',
      message: expect.stringContaining('after 3000 ms it is RUNNING'),
    })
    const aborter = new AbortController()
    const aborted = job.wait({ signal: aborter.signal }).catch((error) => error)
    aborter.abort(new Error('enough'))
    await bench.clock.advance(1_000)
    expect(await aborted).toEqual(new Error('enough'))
  })

  test('wait() and updates() hear of an end in this process at once, without a poll', async () => {
    const bench = new Workbench()
    const { queue, service } = await bench.worker()
    expect(service.started).toBe(true)
    const job = await queue.add(1)
    await bench.settle()
    const before = bench.clock.now()
    const waiting = job.wait()
    const states: string[] = []
    job.updates().subscribe(({ state }) => void states.push(state))
    await bench.settle()
    await bench.call(0).finish('done')
    expect([await waiting, bench.clock.now() - before]).toEqual(['done', 0])
    expect(states).toEqual(['RUNNING', 'COMPLETED'])
  })

  test('updates() tells of each change once, and ends with the last', async () => {
    const bench = new Workbench()
    const { queue } = await bench.worker()
    const job = await queue.add({ n: 1 })
    const seen: string[] = []
    const done = (async () => {
      for await (const { state, progress } of job.updates({ pollInterval: 100 }))
        seen.push(`${state} ${progress}`)
    })()
    await bench.clock.advance(1_000)
    bench.call(0).job.setProgress(40)
    await bench.clock.advance(1_500)
    await bench.call(0).finish(2)
    await bench.clock.advance(100)
    await done
    expect(seen).toEqual(
      ['PENDING 0', 'RUNNING 0', 'RUNNING 40', 'COMPLETED 100'].slice(
        seen[0] === 'PENDING 0' ? 0 : 1,
      ),
    )
  })

  test('updates() of a failed job throws its error, or tells of it when asked to', async () => {
    const bench = new Workbench()
    const { queue } = await bench.worker()
    const job = await queue.add(1)
    await bench.settle()
    await bench.call(0).fail(new Error('oh'))
    const errors: unknown[] = []
    job.updates().subscribe({ error: (error) => void errors.push(error) })
    const states: string[] = []
    job.updates({ errorOnFail: false }).subscribe({
      next: ({ state, error }) => void states.push(`${state} ${error}`),
      complete: () => void states.push('complete'),
    })
    await bench.clock.advance(1_000)
    expect(errors).toEqual([expect.objectContaining({ code: 'job-failed', message: 'oh' })])
    expect(states).toEqual(['FAILED oh', 'complete'])
  })

  test('updates() look no more once nobody wants them', async () => {
    const bench = new Workbench()
    const queue = await bench.service().createQueue({ name: 'work' })
    const updates = (await queue.add(1)).updates()
    const iterator = updates[Symbol.asyncIterator]()
    await iterator.next()
    const next = iterator.next()
    const subscription = updates.subscribe(() => {})
    await bench.clock.advance(1_000)
    subscription.unsubscribe()
    await bench.clock.advance(1_000)
    expect(bench.clock.nextDueAt).not.toBeNull()
    await iterator.return?.()
    await bench.settle()
    expect(bench.clock.nextDueAt).toBeNull()
    expect(await next).toEqual({ done: true, value: undefined })
  })

  test('a timeout that is no number is refused', async () => {
    const bench = new Workbench()
    const job = await (await bench.service().createQueue({ name: 'work' })).add(1)
    const follow = (): Promise<unknown> => Array.fromAsync(job.updates({ timeoutMs: NaN }))
    for (const act of [() => job.wait({ timeoutMs: NaN }), follow]) {
      expect((await refusal(act)).code).toBe('input-invalid')
    }
  })

  test('updates() ends in time with one that says so', async () => {
    const bench = new Workbench()
    const { queue } = await bench.worker()
    const job = await queue.add(1)
    const results: unknown[] = []
    job.updates({ timeoutMs: 2_000 }).subscribe({
      next: ({ state, result }) => void results.push([state, result]),
      complete: () => void results.push('complete'),
    })
    await bench.clock.advance(5_000)
    expect(results.slice(-2)).toEqual([
      ['RUNNING', 'Job subscription timed out. The job may still be running'],
      'complete',
    ])
  })

  test('a handle refuses to change its job, naming what does', async () => {
    const bench = new Workbench()
    const { queue } = await bench.worker()
    const job = await queue.add(1)
    for (const action of ['start', 'complete', 'fail', 'cancel', 'defer'] as const) {
      expect(() => job[action]()).toThrow('service.cancelJob(id)')
    }
  })
})

describe('createQueue()', () => {
  test.each([
    ['', 'empty'],
    [' x', 'padded'],
    ['a\nb', 'unprintable'],
    ['x'.repeat(101), 'too long'],
  ])('refuses the name %j: %s', async (name) => {
    expect((await refusal(() => new Workbench().service().createQueue({ name }))).code).toBe(
      'name-invalid',
    )
  })

  test.each([undefined, null, 5, 5n, {}])('refuses %s, which is no name', async (name) => {
    const service = new Workbench().service({ prefix: 'shop-' })
    const make = (): unknown => service.createQueue({ name: name as never })
    expect((await refusal(make)).code).toBe('name-invalid')
  })

  test.each([
    'mail',
    'Mail',
    'send e-mail',
    'a/b',
    'a:b',
    'é漢😀',
    '~x',
    'x'.repeat(100),
    '漢'.repeat(100),
  ])('takes the name %j, and keeps it apart', async (name) => {
    const bench = new Workbench()
    const { service, queue } = await bench.worker({}, name)
    const { id } = await queue.add(1)
    await bench.settle()
    await bench.call(0).finish()
    expect(await service.findOne(id as string)).toMatchObject({
      queueName: name,
      state: 'COMPLETED',
    })
    expect((await service.findMany({ filter: { queueName: { eq: name } } })).totalItems).toBe(1)
    expect((await service.findMany({ filter: { queueName: { eq: `${name}x` } } })).totalItems).toBe(
      0,
    )
  })

  test.each([
    { leaseMs: 0 },
    { leaseMs: 99 },
    { leaseMs: 1_000.5 },
    { leaseMs: NaN },
    { leaseMs: 2 ** 31 },
    { maxLapses: NaN },
    { maxLapses: -1 },
    { gracefulShutdownTimeout: NaN },
    { pollInterval: NaN },
    { pollInterval: () => -1 },
    { concurrency: 0 },
    { concurrency: () => NaN },
  ])('refuses %o, of the service or of the queue', async (options) => {
    const { code, message } = await refusal(() => new Workbench().worker(options))
    expect(code).toBe('input-invalid')
    expect(message).toContain(Object.keys(options)[0])
  })

  test('refuses a name twice; prefix and activeQueues take names with and without the prefix', async () => {
    const bench = new Workbench()
    const service = bench.service({ prefix: 'shop-', activeQueues: ['mail', 'shop-image'] })
    for (const name of ['mail', 'image', 'idle'])
      await service.createQueue({ name, process: bench.manual })
    expect((await refusal(() => service.createQueue({ name: 'mail' }))).message).toContain(
      '"shop-mail"',
    )
    await service.start()
    expect(service.getJobQueues()).toEqual([
      { name: 'shop-mail', running: true },
      { name: 'shop-image', running: true },
      { name: 'shop-idle', running: false },
    ])
    await service.queue('idle')?.add(1)
    await bench.settle()
    expect(bench.calls).toHaveLength(0)
    await service.queue('shop-mail')?.add(1)
    await bench.settle()
    expect(bench.calls).toHaveLength(1)
  })

  test('on a running service starts at once; without a handler it only adds', async () => {
    const bench = new Workbench()
    const { service } = await bench.worker()
    const late = await service.createQueue({ name: 'late', process: bench.manual })
    const mute = await service.createQueue({ name: 'mute' })
    expect([late.started, mute.started]).toEqual([true, false])
    await mute.add(1)
    await late.add(2)
    await bench.clock.advance(10_000)
    expect(bench.calls.map(({ job }) => job.data)).toEqual([2])
  })
})

test('a service with a strategy of its own says what it cannot do', async () => {
  const bench = new Workbench()
  const strategy = {
    add: vi.fn(async (job) => job),
    start: vi.fn(async () => {}),
    stop: vi.fn(async () => {}),
  }
  const service = bench.service({ storage: undefined, strategy })
  const queue = await service.createQueue({ name: 'work', process: bench.manual })
  await service.start()
  expect(strategy.start).toHaveBeenCalledWith('work', expect.any(Function))
  const job = await queue.add(1)
  const actions = [
    () => service.drain(),
    () => service.next(),
    () => queue.pause(),
    () => queue.resume(),
    () => service.retryJob('x'),
    () => service.guarantee,
    () => service.findOne('x'),
    () => service.cancelJob('x'),
    () => job.wait(),
    () => job.updates(),
  ]
  for (const act of actions) expect((await refusal(act)).code).toBe('unsupported-by-strategy')
  await service.stop()
  expect(strategy.stop).toHaveBeenCalled()
})

test('a store of a newer format is refused, naming both', async () => {
  const bench = new Workbench()
  await bench.store.commit([
    [{ key: 'k/format', expect: null, place: 'k/format', score: 0, head: '{"format":2}' }],
  ])
  const { code, message } = await refusal(() => bench.service().findOne('x'))
  expect([code, message]).toEqual([
    'record-corrupt',
    'Cannot use this store: its format is 2, expected at most 1, which this version of wherry reads',
  ])
})
