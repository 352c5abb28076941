import { createUpstashStore } from '../../adapters/store/upstash.ts'
import type { Store } from '../../src/store/store.ts'
import type { StoreSubject } from '../../src/testing/main.ts'

/** Stores behind the REST endpoint, each under a base of its own. */
export function upstashSubject(url: string, token: string, seed: number): StoreSubject {
  const bases = new Map<Store, string>()
  const open = (base: string): Store => {
    const store = createUpstashStore({ url, token, base })
    bases.set(store, base)
    return store
  }
  return {
    open: async () => open(`suite-${globalThis.crypto.randomUUID()}`),
    second: async (store) => open(bases.get(store) as string),
    reopen: async (store) => open(bases.get(store) as string),
    seed,
    // Every call is an HTTP request.
    scale: 4,
  }
}
