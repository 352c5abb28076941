import assert from 'node:assert/strict'
import type { Cluster } from 'ioredis'
import { afterAll, describe, expect, it, test } from 'vitest'
import { createRedisStore, type RedisClient } from '../../adapters/store/redis.ts'
import { type Job, JobQueueService, silentLogger } from '../../src/main.ts'
import type { Store } from '../../src/store/store.ts'
import { registerStoreSuite, type StoreSubject, storeCases } from '../../src/testing/main.ts'
import { RedisCluster } from '../support/redis-cluster.ts'
import { redisMissing } from '../support/redis-server.ts'

describe.skipIf(redisMissing !== null)(`a Redis cluster ${redisMissing ?? ''}`, async () => {
  if (redisMissing !== null) return it.skip(redisMissing)
  const cluster = await RedisCluster.start()
  const clients: Cluster[] = []
  const open = (base: string): Store => {
    const client = cluster.connect()
    clients.push(client)
    return createRedisStore(client as unknown as RedisClient, { base })
  }
  afterAll(async () => {
    for (const client of clients) client.disconnect()
    await cluster.close()
  })

  const bases = new Map<Store, string>()
  const opened = (base: string): Store => {
    const store = open(base)
    bases.set(store, base)
    return store
  }
  let count = 0
  const subject: StoreSubject = {
    // Each base has a slot of its own, so the stores of the suite lie on all three servers.
    open: async () => opened(`suite-${++count}`),
    second: async (store) => opened(bases.get(store) as string),
    reopen: async (store) => {
      await store.close()
      return opened(bases.get(store) as string)
    },
    seed: 6,
  }
  await registerStoreSuite('seed 6', storeCases, subject, assert, { test: it, skip: it.skip })

  test('jobs are added through one connection and run through another', async () => {
    const options = { logger: silentLogger, concurrency: 10 }
    const worker = new JobQueueService({ ...options, storage: open('jobs') })
    await worker.createQueue({ name: 'double', process: (job: Job<number>) => 2 * job.data })
    await worker.start()
    const client = new JobQueueService({ ...options, storage: open('jobs') })
    const queue = await client.createQueue<number, number>({ name: 'double' })
    const jobs = await queue.addMany(Array.from({ length: 100 }, (_, i) => ({ data: i })))
    const results = await Promise.all(jobs.map((job) => job.wait({ timeoutMs: 20_000 })))
    expect(results).toEqual(Array.from({ length: 100 }, (_, i) => 2 * i))
    await Promise.all([worker.close(), client.close()])
  })
})
