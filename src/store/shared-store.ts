import type { StorageLike } from './storage-items.ts'
import type { Store } from './store.ts'

interface Shared {
  readonly store: Store
  users: number
}

const known = new WeakMap<object, Shared>()

/** One store for each `Storage`, however many services it is given to: the last of them closes it. */
export function shareStore(storage: StorageLike, make: (storage: StorageLike) => Store): Store {
  const shared = known.get(storage) ?? { store: make(storage), users: 0 }
  known.set(storage, shared)
  shared.users++
  const { store } = shared
  let closing: Promise<void> | null = null
  const leave = async (): Promise<void> => {
    if (--shared.users > 0) return
    known.delete(storage)
    await store.close()
  }
  return {
    name: store.name,
    guarantee: store.guarantee,
    clock: store.clock,
    limits: store.limits,
    read: (query) => store.read(query),
    commit: (units, hint) => store.commit(units, hint),
    subscribe: (channel, hear) => store.subscribe?.(channel, hear) ?? (() => {}),
    operations: () => store.operations(),
    close() {
      closing ??= leave()
      return closing
    },
  }
}
