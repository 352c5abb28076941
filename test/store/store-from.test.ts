import { createStorage } from 'unstorage'
import cloudflareKV from 'unstorage/drivers/cloudflare-kv-binding'
import fsLite from 'unstorage/drivers/fs-lite'
import memory from 'unstorage/drivers/memory'
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

test.each([
  ['fs-lite', fsLite({ base: '/nowhere' }), 'wherry/runtime/node'],
  ['cloudflare-kv-binding', cloudflareKV({ binding: {} as never }), 'wherry/runtime/cloudflare'],
])(
  'a Storage on %s is refused as it is, naming what opens its better store',
  (_name, driver, entry) => {
    expect(() => new JobQueueService({ storage: createStorage({ driver }) })).toThrow(
      `openStore(storage) of ${entry}`,
    )
  },
)

test('what is no storage is refused', () => {
  expect(() => new JobQueueService({ storage: {} as never })).toThrow(
    expect.objectContaining({ code: 'input-invalid' }),
  )
})

test('openStore() takes a URL, a driver, a Storage and a Store', async () => {
  const own = createMemoryStore()
  expect(await openStore(own)).toBe(own)
  expect((await openStore('memory:')).name).toBe('memory')
  expect((await openStore('sqlite:./x.db?base=jobs')).guarantee).toBe('atomic')
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
