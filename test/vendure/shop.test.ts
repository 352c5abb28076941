/** A real Vendure server and two workers, on wherry. */
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { freePort, RedisServer, redisMissing } from '../support/redis-server.ts'
import { AdminApi, type JobOfApi } from './admin-api.ts'
import { ShopProcess, type Told, until } from './processes.ts'
import type { ShopSetting } from './shop.ts'
import { dumpOf } from './store-dump.ts'
import type { Work } from './work-plugin.ts'

// Six processes boot a shop each; on a busy machine that takes its time.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 120_000 })

const folder = mkdtempSync(join(tmpdir(), 'wherry-vendure-'))
const populated = join(folder, 'populated.sqlite')

beforeAll(async () => {
  const port = await freePort()
  const setting = { database: populated, storage: 'memory:', port, isFirst: true }
  expect(await new ShopProcess('populate.ts', setting).ended()).toBe(0)
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

interface Place {
  readonly storage: string
  close(): Promise<void>
}

const STORES: readonly {
  readonly name: string
  readonly missing: string | null
  open(): Promise<Place>
}[] = [
  {
    name: 'Redis',
    missing: redisMissing,
    open: async () => {
      const redis = await RedisServer.start()
      return { storage: redis.url, close: () => redis.close() }
    },
  },
  {
    name: 'sqlite',
    missing: null,
    open: async () => ({ storage: `sqlite:${join(folder, 'jobs.db')}`, close: async () => {} }),
  },
]

describe.each(STORES)('a shop on $name', ({ missing, open, name }) => {
  if (missing !== null) {
    test.skip(`is not tested: ${missing}`, () => {})
    return
  }
  let place: Place
  let server: ShopProcess
  let workers: ShopProcess[] = []
  let admin: AdminApi

  beforeAll(async () => {
    place = await open()
    const database = join(folder, `${name}.sqlite`)
    copyFileSync(populated, database)
    const setting: ShopSetting = { database, storage: place.storage, port: await freePort() }
    ;[server, ...workers] = (await Promise.all(
      ['server.ts', 'worker.ts', 'worker.ts'].map((script) => ShopProcess.start(script, setting)),
    )) as [ShopProcess, ...ShopProcess[]]
    admin = new AdminApi(setting.port as number)
    await admin.login()
  })
  afterAll(async () => {
    await Promise.all([server, ...workers].map((one) => one?.end('SIGTERM')))
    await place?.close()
  })

  const add = (data: Work, retries = 0): Promise<number> =>
    server.ask({ ask: 'add', data, retries })

  const settled = (id: string | number): Promise<JobOfApi> =>
    until(`job ${id} to be settled`, async () => {
      const job = await admin.job(id)
      return job?.isSettled ? job : undefined
    })

  /** The worker that began the job, and what it told. */
  const began = (id: number): Promise<{ worker: ShopProcess; told: Told }> =>
    until(`job ${id} to begin`, () => {
      for (const worker of workers) {
        const told = worker.told.find((one) => one.event === 'began' && one.id === id)
        if (told) return { worker, told }
      }
      return undefined
    })

  const found = async (term: string): Promise<string[]> => {
    const query =
      'query ($term: String!) { search(input: { term: $term }) { items { productName } } }'
    const { search } = await admin.ask(query, { term })
    return search.items.map(({ productName }: { productName: string }) => productName)
  }

  test('§2.2 a job runs in a worker, and updates() tells of its end', async () => {
    const updates = await server.ask<object[]>({ ask: 'follow', data: { result: 'done' } })
    expect(updates.at(-1)).toEqual({ state: 'COMPLETED', progress: 100, result: 'done' })
  })

  test('§4.1 job, jobs and jobsById show it, ids being numbers', async () => {
    const id = await add({ result: 'here' })
    expect(Number.isSafeInteger(id)).toBe(true)
    const job = await settled(id)
    expect(job).toMatchObject({
      id: String(id),
      queueName: 'work',
      state: 'COMPLETED',
      progress: 100,
      attempts: 1,
      retries: 0,
      data: { result: 'here' },
      result: 'here',
      error: null,
    })
    // Two processes know the store's clock to a round trip.
    expect(Date.parse(job.startedAt as string) - Date.parse(job.createdAt)).toBeGreaterThan(-100)
    expect(job.duration).toBe(
      Date.parse(job.settledAt as string) - Date.parse(job.startedAt as string),
    )
    const { jobsById } = await admin.ask('query ($ids: [ID!]!) { jobsById(jobIds: $ids) { id } }', {
      ids: [id, 7, 'none'],
    })
    expect(jobsById).toEqual([{ id: String(id) }])
    expect([await admin.job(7), await admin.job('none')]).toEqual([null, null])
    const { jobQueues } = await admin.ask('{ jobQueues { name running } }')
    // §7.20 Those of the process that answers: a server runs none.
    expect(jobQueues).toContainEqual({ name: 'work', running: false })
    expect(jobQueues).toContainEqual({ name: 'update-search-index', running: false })
  })

  test('§4.2 the list as the dashboard asks for it', async () => {
    const ids = [await add({}), await add({}), await add({ fails: 'no' })]
    for (const id of ids) await settled(id)
    const page = (take: number, skip: number, states: string[]): object => ({
      take,
      skip,
      sort: { createdAt: 'DESC' },
      filter: { _and: [{ state: { in: states } }, { queueName: { in: ['work'] } }] },
    })
    const failed = await admin.jobs(page(10, 0, ['FAILED']))
    expect(failed).toMatchObject({ totalItems: 1, items: [{ id: String(ids[2]), error: 'no' }] })
    const both = await admin.jobs(page(1, 1, ['COMPLETED', 'FAILED']))
    expect(both.items.map(({ id }) => id)).toEqual([String(ids[1])])
    expect(both.totalItems).toBeGreaterThanOrEqual(3)
    // What GraphQL clients send for what they leave out.
    const nulls = { take: null, skip: null, sort: { id: null }, filter: null, filterOperator: null }
    expect((await admin.jobs(nulls)).totalItems).toBeGreaterThanOrEqual(3)
    expect((await admin.jobs(null)).totalItems).toBeGreaterThanOrEqual(3)
    const byId = await admin.jobs({ filter: { id: { in: ids.map(String) }, _or: null } })
    expect(byId.totalItems).toBe(3)
  })

  test('§2.6 a job that fails is tried again as often as it may', async () => {
    const job = await settled(await add({ fails: 'no luck' }, 2))
    expect(job).toMatchObject({ state: 'FAILED', attempts: 3, retries: 2, error: 'no luck' })
  })

  test('§1.2 progress that a handler tells is seen', async () => {
    const id = await add({ holds: true, progress: 40 })
    const { worker } = await began(id)
    await until('its progress', async () =>
      (await admin.job(id))?.progress === 40 ? true : undefined,
    )
    worker.tell('end')
    expect((await settled(id)).progress).toBe(100)
  })

  test('§2.6 a running job that is cancelled sees it, and stays cancelled', async () => {
    const id = await add({ holds: true }, 3)
    const { worker } = await began(id)
    const cancel = 'mutation ($id: ID!) { cancelJob(jobId: $id) { id state isSettled } }'
    const { cancelJob } = await admin.ask(cancel, { id })
    expect(cancelJob).toEqual({ id: String(id), state: 'CANCELLED', isSettled: true })
    expect(await worker.hears('stopped', id)).toMatchObject({ state: 'CANCELLED' })
    expect((await settled(id)).state).toBe('CANCELLED')
    // §7.10 What is settled stays as it is.
    expect((await admin.ask(cancel, { id })).cancelJob.state).toBe('CANCELLED')
    const done = await settled(await add({}))
    expect((await admin.ask(cancel, { id: done.id })).cancelJob.state).toBe('COMPLETED')
    // §4.1 An unknown one is an error of the API's.
    await expect(admin.ask(cancel, { id: 7 })).rejects.toThrow('cancelJob')
  })

  test('§4.1 removeSettledJobs removes by queue and by age', async () => {
    await settled(await add({}))
    const remove =
      'mutation ($names: [String!], $olderThan: DateTime) { removeSettledJobs(queueNames: $names, olderThan: $olderThan) }'
    const count = async (): Promise<number> =>
      (await admin.jobs({ filter: { queueName: { eq: 'work' }, isSettled: { eq: true } } }))
        .totalItems
    const before = await count()
    const removed = async (variables: object): Promise<number> =>
      (await admin.ask(remove, { ...variables })).removeSettledJobs
    expect(await removed({ names: ['none'] })).toBe(0)
    expect(await removed({ names: ['work'], olderThan: '2020-01-01T00:00:00Z' })).toBe(0)
    expect([await removed({ names: ['work'] }), await count()]).toEqual([before, 0])
  })

  test('its search is indexed by a job, and the token of who asked is nowhere in the store', async () => {
    const { reindex } = await admin.ask('mutation { reindex { id queueName } }')
    const job = await settled(reindex.id)
    expect(job).toMatchObject({ queueName: 'update-search-index', state: 'COMPLETED' })
    expect(job.result.indexedItemCount).toBe(3)
    expect(await found('cactus')).toEqual(['Spiky Cactus'])
    const dump = await dumpOf(place.storage)
    // The context is there, so a token in it would be seen.
    expect(dump).toContain('_apiType')
    expect(dump).not.toContain(admin.token)
    expect(dump).not.toContain('rawHeaders')
  })

  test('§2.4 buffered updates of the index wait until they are flushed', async () => {
    const { products } = await admin.ask('{ products(options: { take: 1 }) { items { id } } }')
    const rename = async (productName: string): Promise<void> => {
      const translations = [{ languageCode: 'en', name: productName }]
      const input = { id: products.items[0].id, translations }
      await admin.ask(
        'mutation ($input: UpdateProductInput!) { updateProduct(input: $input) { id } }',
        { input },
      )
    }
    const id = 'search-plugin-update-search-index'
    const size = async (): Promise<number> => {
      const query = 'query ($ids: [String!]) { jobBufferSize(bufferIds: $ids) { bufferId size } }'
      const { jobBufferSize } = await admin.ask(query, { ids: [id] })
      return jobBufferSize[0].size
    }
    const filled = (least: number): Promise<unknown> =>
      until('the buffer', async () => ((await size()) >= least ? true : undefined))
    await rename('Aloe')
    await rename('Agave')
    await filled(2)
    expect(await found('agave')).toEqual([])
    const flush = 'mutation ($ids: [String!]) { flushBufferedJobs(bufferIds: $ids) { success } }'
    expect(await admin.ask(flush, { ids: [id] })).toEqual({ flushBufferedJobs: { success: true } })
    await until('the new name', async () => ((await found('agave')).length > 0 ? true : undefined))
    expect(await size()).toBe(0)
    // §2.4 A flush that names none is of all.
    await rename('Yucca')
    await filled(1)
    const flushed = await server.ask<number[]>({ ask: 'flush' })
    expect(flushed.length).toBeGreaterThan(0)
    for (const id of flushed) expect((await settled(id)).state).toBe('COMPLETED')
    expect(await found('yucca')).toEqual(['Yucca'])
    expect(await dumpOf(place.storage)).not.toContain(admin.token)
  })

  test('§3 a task that two workers tick runs once an occurrence', async () => {
    const runs = async (): Promise<JobOfApi[]> =>
      (await admin.jobs({ sort: { createdAt: 'ASC' }, filter: { queueName: { eq: 'task.tick' } } }))
        .items
    await until('three runs', async () => {
      const ended = (await runs()).filter(({ isSettled }) => isSettled)
      return ended.length >= 3 ? true : undefined
    })
    const update =
      'mutation ($input: UpdateScheduledTaskInput!) { updateScheduledTask(input: $input) { id enabled isRunning lastResult } }'
    const disabled = await admin.ask(update, { input: { id: 'tick', enabled: false } })
    expect(disabled.updateScheduledTask).toMatchObject({ id: 'tick', enabled: false })
    await until('the last run', async () =>
      (await runs()).every(({ isSettled }) => isSettled) ? true : undefined,
    )
    const jobs = await runs()
    const instants = jobs.map(({ data }) => Date.parse(data.scheduledAt))
    expect(new Set(instants).size).toBe(jobs.length)
    expect(instants.every((at) => at % 2_000 === 0)).toBe(true)
    expect(jobs.map(({ state, attempts }) => [state, attempts])).toEqual(
      jobs.map(() => ['COMPLETED', 1]),
    )
    const ticked = workers.flatMap(({ told }) => told.filter(({ event }) => event === 'ticked'))
    expect(ticked).toHaveLength(jobs.length)
    expect(ticked[0]).toMatchObject({ data: 'tick', api: 'admin' })
    expect(server.told.some(({ event }) => event === 'ticked')).toBe(false)
  })

  test('§4.1 tasks are listed, enabled, and run by hand in a worker', async () => {
    const fields =
      'id description schedule lastExecutedAt nextExecutionAt isRunning lastResult enabled'
    const tasks = async (): Promise<Record<string, unknown>[]> =>
      (await admin.ask(`{ scheduledTasks { ${fields} } }`)).scheduledTasks
    const [tick, sweep] = await tasks()
    expect(tick).toMatchObject({ id: 'tick', enabled: false, lastResult: { by: 'tick' } })
    expect(sweep).toMatchObject({
      id: 'sweep the floor',
      schedule: '30 3 * * 1',
      lastExecutedAt: null,
      lastResult: null,
      isRunning: false,
      enabled: true,
    })
    const run = 'mutation ($id: String!) { runScheduledTask(id: $id) { success } }'
    const ran = async (id: string): Promise<unknown> =>
      (await admin.ask(run, { id })).runScheduledTask
    expect(await ran('none')).toEqual({ success: false })
    expect(await ran('sweep the floor')).toEqual({ success: true })
    await until('a worker to sweep', () =>
      workers.some(({ told }) => told.some(({ event }) => event === 'swept')) ? true : undefined,
    )
    await until('its result', async () =>
      (await tasks())[1]?.['lastResult'] !== null ? true : undefined,
    )
    expect((await tasks())[1]).toMatchObject({ lastResult: { swept: true } })
    expect(server.told.some(({ event }) => event === 'swept')).toBe(false)
    const update =
      'mutation ($input: UpdateScheduledTaskInput!) { updateScheduledTask(input: $input) { enabled } }'
    await expect(admin.ask(update, { input: { id: 'none', enabled: true } })).rejects.toThrow(
      'none',
    )
  })

  test('§7.1 a job whose worker is killed runs again in another', async () => {
    const id = await add({ holds: true, progress: 10 })
    const { worker } = await began(id)
    await worker.end('SIGKILL')
    workers = workers.filter((one) => one !== worker)
    const [survivor] = workers as [ShopProcess]
    await survivor.hears('began', id)
    survivor.tell('end')
    // The attempt that was cut off does not count.
    expect(await settled(id)).toMatchObject({ state: 'COMPLETED', attempts: 1 })
  })

  test('a worker that is stopped finishes what it runs', async () => {
    const id = await add({ holds: true })
    const { worker } = await began(id)
    const stopping = worker.end('SIGTERM')
    worker.tell('end')
    await stopping
    expect(await admin.job(id)).toMatchObject({ state: 'COMPLETED' })
  })
})
