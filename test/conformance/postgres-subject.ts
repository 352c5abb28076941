import { createPostgresStore } from '../../adapters/store/postgres.ts'
import type { Store } from '../../src/store/store.ts'
import type { StoreSubject } from '../../src/testing/main.ts'

const stores: Store[] = []

/** Ends the connections that the subjects of this process have opened. */
export async function closePostgresStores(): Promise<void> {
  await Promise.all(stores.splice(0).map((store) => store.close()))
}

/** Stores in the PostgreSQL at the URL, each with tables of its own. */
export function postgresSubject(url: string, seed: number): StoreSubject {
  const bases = new Map<Store, string>()
  const open = (base: string): Store => {
    const store = createPostgresStore(url, { base })
    bases.set(store, base)
    stores.push(store)
    return store
  }
  return {
    open: async () => open(`s${globalThis.crypto.randomUUID().replaceAll('-', '')}`),
    second: async (store) => open(bases.get(store) as string),
    reopen: async (store) => {
      await store.close()
      return open(bases.get(store) as string)
    },
    seed,
    // Every commit waits for the disk.
    scale: 4,
  }
}
