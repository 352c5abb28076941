import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createDatabase } from 'db0'
import nodeSqlite from 'db0/connectors/node-sqlite'
import postgresql from 'db0/connectors/postgresql'
import { createStorage } from 'unstorage'
import cloudflareKV from 'unstorage/drivers/cloudflare-kv-binding'
import db0 from 'unstorage/drivers/db0'
import denoKv from 'unstorage/drivers/deno-kv'
import denoKvNode from 'unstorage/drivers/deno-kv-node'
import fsLite from 'unstorage/drivers/fs-lite'
import memory from 'unstorage/drivers/memory'
import redis from 'unstorage/drivers/redis'
import { expect, test } from 'vitest'
import { openStore } from '../../adapters/runtime/node.ts'
import { createMemoryStore, type Job, JobQueueService } from '../../src/main.ts'

test('a Storage will do as storage; services that are given the same one share its store', async () => {
  const storage = createStorage({ driver: memory() })
  const services = [new JobQueueService({ storage }), new JobQueueService({ storage })]
  const [adder, worker] = await Promise.all(
    services.map((service, i) =>
      service.createQueue({
        name: 'double',
        ...(i === 1 && { process: (job: Job<number>) => job.data * 2 }),
      }),
    ),
  )
  const job = await adder?.add(21)
  expect(worker?.name).toBe('double')
  expect(await services[1]?.drain()).toMatchObject({ completed: 1 })
  expect(await job?.wait()).toBe(42)
  expect(await services[0]?.guarantee).toBe('process')
})

test('a Storage is used on when one of its services is closed, and again when all are', async () => {
  const storage = createStorage({ driver: memory() })
  const [a, b] = [new JobQueueService({ storage }), new JobQueueService({ storage })]
  await (await a.createQueue({ name: 'work' })).add(1)
  expect((await b.findMany()).totalItems).toBe(1)
  await a.close()
  await a.close()
  expect((await b.findMany()).totalItems).toBe(1)
  await b.close()
  await expect(b.findMany()).rejects.toMatchObject({ code: 'store-unavailable' })
  expect((await new JobQueueService({ storage }).findMany()).totalItems).toBe(1)
})

test.each([
  ['fs-lite', fsLite({ base: '/nowhere' }), 'wherry/runtime/node'],
  ['deno-kv', denoKv({ path: '/nowhere' }), 'wherry/runtime/deno'],
  ['deno-kv-node', denoKvNode({ path: '/nowhere' }), 'wherry/runtime/node'],
  ['redis', redis({ url: 'redis://nowhere' }), 'wherry/runtime/node'],
  ['cloudflare-kv-binding', cloudflareKV({ binding: {} as never }), 'wherry/runtime/cloudflare'],
])(
  'a Storage on %s is refused as it is, naming what opens its better store',
  (_name, driver, entry) => {
    expect(() => new JobQueueService({ storage: createStorage({ driver }) })).toThrow(
      `openStore(storage) of ${entry}`,
    )
  },
)

test('a db0 driver is dispatched by its dialect; a PostgreSQL client that is shared is refused', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'wherry-'))
  const database = createDatabase(nodeSqlite({ path: join(folder, 'jobs.db') }))
  const store = await openStore(db0({ database }))
  expect([store.name, store.guarantee]).toEqual(['sqlite', 'atomic'])
  await store.close()
  database.dispose()
  rmSync(folder, { recursive: true })
  const shared = createDatabase(postgresql({ url: 'postgres://nowhere' }))
  await expect(openStore(db0({ database: shared }))).rejects.toMatchObject({
    code: 'unsupported-by-store',
    message: expect.stringContaining('pg.Pool'),
  })
})

test.each([{}, 'sqlite:./jobs.db', null, () => createMemoryStore()])(
  '%o is no storage, and is refused',
  (storage) => {
    expect(() => new JobQueueService({ storage: storage as never })).toThrow(
      expect.objectContaining({ code: 'input-invalid' }),
    )
  },
)

test('openStore() takes a URL, a driver, a Storage and a Store', async () => {
  const own = createMemoryStore()
  expect(await openStore(own)).toBe(own)
  expect((await openStore('memory:')).name).toBe('memory')
  expect((await openStore('sqlite:./x.db?base=jobs')).guarantee).toBe('atomic')
  expect((await openStore('deno-kv:./x.kv?base=jobs')).name).toBe('deno-kv')
  expect((await openStore('redis://user:secret@nowhere/1?base=jobs')).name).toBe('redis')
  expect((await openStore(memory())).name).toBe('memory')
  expect((await openStore(createStorage({ driver: memory() }))).guarantee).toBe('process')
  expect((await openStore(createStorage({ driver: fsLite({ base: './x' }) }))).name).toBe('fs')
  for (const bad of [
    'redis-ish://user:hunter2@host',
    'sqlite',
    '',
    'sqlite:./x.db?bse=jobs',
    {} as never,
  ]) {
    await expect(openStore(bad)).rejects.toThrow(expect.objectContaining({ code: 'input-invalid' }))
    await expect(openStore(bad)).rejects.not.toThrow(/hunter2/)
  }
})
