/**
 * Further stores for a Worker, to hand to `openStore` of `wherry/runtime/cloudflare`.
 *
 * @module
 */
import { createMemoryStore } from '../../src/main.ts'
import { createCloudflareKVStore, type KVBinding } from '../store/cloudflare-kv.ts'
import { createD1Store, type D1Binding } from '../store/d1.ts'
import {
  createDurableObjectStore,
  type ObjectNamespace,
  type PartsBinding,
} from '../store/durable-object.ts'
import { bindingOf } from './binding.ts'
import { baseOf, type StoreKinds } from './open-store.ts'
import type { Environment } from './setup.ts'
import type { OpenUrl } from './storage-url.ts'

export { upstash } from './upstash.ts'

/** Schemes of URLs and drivers, which a Worker is given with its environment. */
export type WorkerStores = (env: Environment) => Partial<StoreKinds>

/** `cloudflare-kv:JOBS`, where `JOBS` names the binding, and the driver of unstorage for it. */
export function cloudflareKV(env: Environment): Partial<StoreKinds> {
  return {
    schemes: {
      'cloudflare-kv': ({ path, base }) =>
        createCloudflareKVStore(namespaceOf<KVBinding>(env, path), { base }),
    },
    drivers: {
      'cloudflare-kv-binding': (driver, binding) =>
        createCloudflareKVStore(binding as KVBinding, { base: baseOf(driver) }),
    },
  }
}

/** `durable-object:QUEUE`, and `cloudflare-kv:JOBS+durable-object:QUEUE`: long parts in KV. */
export function durableObject(env: Environment): Partial<StoreKinds> {
  const objectsOf = (name: string): ObjectNamespace =>
    bindingOf(env, name, 'getByName', 'Durable Object')
  const { schemes = {} } = cloudflareKV(env)
  return {
    schemes: {
      'durable-object': ({ path, base }) => createDurableObjectStore(objectsOf(path), { base }),
      'cloudflare-kv': (url) => {
        const [jobs = '', queue] = url.path.split('+durable-object:')
        if (queue === undefined) return (schemes['cloudflare-kv'] as OpenUrl)(url)
        const parts = namespaceOf<PartsBinding>(env, jobs)
        return createDurableObjectStore(objectsOf(queue), { base: url.base, parts })
      },
    },
  }
}

function namespaceOf<Binding>(env: Environment, name: string): Binding {
  return bindingOf(env, name, 'getWithMetadata', 'KV namespace')
}

/** `memory:`, for trying things out: an isolate vanishes at any time. */
export function keptInMemory(): Partial<StoreKinds> {
  return { schemes: { memory: () => createMemoryStore() } }
}

/** `d1:DB`, where `DB` names the binding. */
export function d1(env: Environment): Partial<StoreKinds> {
  return {
    schemes: {
      d1: ({ path, base }) =>
        createD1Store(bindingOf<D1Binding>(env, path, 'batch', 'D1 database'), { base }),
    },
  }
}
