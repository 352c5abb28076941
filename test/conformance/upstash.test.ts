import assert from 'node:assert/strict'
import { createStorage } from 'unstorage'
import upstash from 'unstorage/drivers/upstash'
import { afterAll, describe, expect, it, test } from 'vitest'
import { openStore } from '../../adapters/runtime/node.ts'
import { createUpstashStore } from '../../adapters/store/upstash.ts'
import {
  type Job,
  JobQueueService,
  type SubscribableJob,
  silentLogger,
  type WherryError,
} from '../../src/main.ts'
import { registerStoreSuite, storeCases } from '../../src/testing/main.ts'
import { RedisServer, redisMissing } from '../support/redis-server.ts'
import { UpstashBridge } from '../support/upstash-bridge.ts'
import { upstashSubject } from './upstash-subject.ts'

/** The result, though the answers that tell of it are lost as well. */
async function insistOn(job: SubscribableJob): Promise<unknown> {
  for (;;) {
    try {
      return await job.wait()
    } catch (error) {
      if ((error as WherryError).code !== 'store-unavailable') throw error
    }
  }
}

describe.skipIf(redisMissing !== null)(`upstash ${redisMissing ?? ''}`, async () => {
  if (redisMissing !== null) return it.skip(redisMissing)
  const redis = await RedisServer.start()
  const bridge = await UpstashBridge.to(redis.url)
  const { url, token } = bridge
  afterAll(async () => {
    await bridge.close()
    await redis.close()
  })

  for (const seed of [1, 2, 3]) {
    const subject = upstashSubject(url, token, seed)
    await registerStoreSuite(`seed ${seed}`, storeCases, subject, assert, {
      test: it,
      skip: it.skip,
    })
  }

  test('answers that are lost lose no job and settle none twice', { timeout: 60_000 }, async () => {
    const runs = new Map<string, number[]>()
    const jobs = new JobQueueService({
      storage: createUpstashStore({ url, token, base: 'lost' }),
      logger: silentLogger,
      concurrency: 5,
      pollInterval: 20,
      leaseMs: 2_000,
    })
    const queue = await jobs.createQueue({
      name: 'count',
      process: async ({ id }: Job<number>, { fence }) => {
        runs.set(String(id), [...(runs.get(String(id)) ?? []), fence])
        if (runs.size % 10 === 0) bridge.loseAnswers(2)
        return fence
      },
    })
    const added = await queue.addMany(Array.from({ length: 200 }, (_, i) => ({ data: i })))
    await jobs.start()
    const results = await Promise.all(added.map(insistOn))
    await jobs.close()
    added.forEach(({ id }, i) => {
      expect(runs.get(String(id))).toEqual([results[i]])
    })
  })

  test('a token that is refused is no secret told', async () => {
    const store = createUpstashStore({ url, token: 'wrong-secret' })
    const refused = store.read({})
    await expect(refused).rejects.toMatchObject({
      code: 'store-unavailable',
      message: 'Cannot use Upstash: it refuses the token',
    })
  })

  test('a driver of unstorage lends its URL and its token', async () => {
    const storage = createStorage({ driver: upstash({ url, token, base: 'lent' }) })
    const store = await openStore(storage)
    expect(store.name).toBe('upstash')
    expect((await store.read({})).now).toBeGreaterThan(0)
    expect(() => new JobQueueService({ storage })).toThrow('wherry/runtime/node')
  })

  test('the URL upstash: takes both from the environment', async () => {
    await expect(openStore('upstash:')).rejects.toThrow('UPSTASH_REDIS_REST_URL')
    process.env['UPSTASH_REDIS_REST_URL'] = url
    process.env['UPSTASH_REDIS_REST_TOKEN'] = token
    expect((await (await openStore('upstash:')).read({})).now).toBeGreaterThan(0)
    delete process.env['UPSTASH_REDIS_REST_URL']
    delete process.env['UPSTASH_REDIS_REST_TOKEN']
  })
})
