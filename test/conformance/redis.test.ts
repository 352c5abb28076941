import assert from 'node:assert/strict'
import { Redis } from 'ioredis'
import { createStorage } from 'unstorage'
import redis from 'unstorage/drivers/redis'
import { afterAll, describe, it } from 'vitest'
import { openStore } from '../../adapters/runtime/node.ts'
import { createRedisStore, type RedisClient } from '../../adapters/store/redis.ts'
import type { Store } from '../../src/store/store.ts'
import { registerStoreSuite, type StoreSubject, storeCases } from '../../src/testing/main.ts'
import { RedisServer, redisMissing } from '../support/redis-server.ts'
import { closeRedisStores, redisSubject } from './redis-subject.ts'

const runner = { test: it, skip: it.skip }

describe.skipIf(redisMissing !== null)(`redis ${redisMissing ?? ''}`, async () => {
  if (redisMissing !== null) return it.skip(redisMissing)
  const server = await RedisServer.start()
  afterAll(async () => {
    await closeRedisStores()
    await server.close()
  })

  for (const seed of [1, 2, 3]) {
    const subject = redisSubject(server.url, seed)
    await registerStoreSuite(`seed ${seed}`, storeCases, subject, assert, runner)
  }

  const replaying = replayingSubject(server.url)
  afterAll(() => replaying.end())
  await registerStoreSuite('each call sent twice', replayable, replaying.subject, assert, runner)

  const through = driverSubject(server.url)
  afterAll(() => through.end())
  await registerStoreSuite('unstorage driver', storeCases, through.subject, assert, runner)
})

/** Stores on the clients of unstorage's own driver, which has its `Storage` closed by its user. */
function driverSubject(url: string): { subject: StoreSubject; end(): Promise<void> } {
  let opened = 0
  const bases = new Map<Store, string>()
  const storages: { dispose(): Promise<void> }[] = []
  const open = async (base: string): Promise<Store> => {
    const storage = createStorage({ driver: redis({ url, base }) })
    storages.push(storage)
    const store = await openStore(storage)
    bases.set(store, base)
    return store
  }
  const subject: StoreSubject = {
    open: () => open(`driver-${++opened}`),
    second: (store) => open(bases.get(store) as string),
    reopen: async (store) => {
      await store.close()
      return open(bases.get(store) as string)
    },
    seed: 4,
  }
  return {
    subject,
    end: async () => {
      await Promise.all(storages.map((storage) => storage.dispose()))
    },
  }
}

/** What was taken before is found again, but no longer in its old order. */
const replayable = storeCases.filter(
  ({ name, needs }) => !needs?.take || name.startsWith('eight claimers'),
)

/** Stores whose client sends each script again, as one does that has lost the answer. */
function replayingSubject(url: string): { subject: StoreSubject; end(): Promise<void> } {
  let opened = 0
  const bases = new Map<Store, string>()
  const clients: Redis[] = []
  const open = async (base: string): Promise<Store> => {
    const client = new Redis(url)
    clients.push(client)
    const send = client.call.bind(client)
    const call = async (command: string, args: string[]): Promise<unknown> => {
      await send(command, args)
      return send(command, args)
    }
    const store = createRedisStore(Object.assign(client, { call }) as unknown as RedisClient, {
      base,
    })
    bases.set(store, base)
    return store
  }
  const subject: StoreSubject = {
    open: () => open(`replay-${++opened}`),
    second: (store) => open(bases.get(store) as string),
    reopen: async (store) => {
      await store.close()
      return open(bases.get(store) as string)
    },
    seed: 5,
  }
  const end = async (): Promise<void> => {
    for (const client of clients) client.disconnect()
  }
  return { subject, end }
}
