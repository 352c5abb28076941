import { createRedisStore } from '../../adapters/store/redis.ts'
import type { Store } from '../../src/store/store.ts'
import type { StoreSubject } from '../../src/testing/main.ts'

/** Ends the connections that the subjects of this process have opened. */
export async function closeRedisStores(): Promise<void> {
  await Promise.all(stores.splice(0).map((store) => store.close()))
}

const stores: Store[] = []

/** Stores in the Redis at the URL, each under a base of its own. */
export function redisSubject(url: string, seed: number): StoreSubject {
  let opened = 0
  const bases = new Map<Store, string>()
  const open = (base: string): Store => {
    const store = createRedisStore(url, { base })
    bases.set(store, base)
    stores.push(store)
    return store
  }
  return {
    open: async () => open(`suite-${globalThis.crypto.randomUUID()}-${++opened}`),
    second: async (store) => open(bases.get(store) as string),
    reopen: async (store) => {
      await store.close()
      return open(bases.get(store) as string)
    },
    seed,
  }
}
