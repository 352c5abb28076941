/** The stores of the runtimes that have files: Node, Deno and Bun. */
import { createMemoryStore, type Store } from '../../src/main.ts'
import type { DriverLike, StoreKinds } from './open-store.ts'

// Loaded when asked for, so that an app needs only the packages of the store that it uses.
export const LOCAL_STORES: StoreKinds = {
  schemes: {
    memory: () => createMemoryStore(),
    sqlite: async ({ path, base }) => {
      const { createSqliteStore } = await import('../store/sqlite.ts')
      return createSqliteStore(path, { base })
    },
    fs: async ({ path, base }) => {
      const { createFsStore } = await import('../store/fs.ts')
      return createFsStore(path, { base })
    },
  },
  drivers: { fs: openFolder, 'fs-lite': openFolder },
  generic: async (storage, driver) => {
    const { createUnstorageStore } = await import('../store/unstorage.ts')
    return createUnstorageStore(storage, { name: driver || undefined })
  },
}

async function openFolder({ options }: DriverLike): Promise<Store> {
  const { createFsStore } = await import('../store/fs.ts')
  return createFsStore((options as { readonly base: string }).base)
}
